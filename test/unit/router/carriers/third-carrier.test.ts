import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { type TestContext, test } from "node:test";
import type { OverlayLink } from "#mesh/overlay.js";
import type { Carrier, CarrierKind } from "#router/carriers/carrier.js";
import { CARRIERS } from "#router/carriers/carrier-list.js";
import { Carriers } from "#router/carriers/carriers.js";
import { RETURN_MS } from "#router/carriers/selector.js";
import { systemClock } from "#src/clock.js";
import { encode } from "#src/codec.js";
import { silentLog } from "#src/log.js";
import { systemRandom } from "#src/random.js";
import { FrameRouter, until } from "./frame-router.js";
import { Pipes } from "./pipe-carrier.js";

const PORT = 16_783;
const BROADCAST = Buffer.alloc(6, 0xff);
const [AT_A, AT_B] = ["02aaaaaaaaaa", "02bbbbbbbbbb"].map((mac) => Buffer.from(mac, "hex"));
const TYPE = Buffer.from("88b5", "hex");

/** Two connected routers; the first has dialled. @param listed the list in the hello of the second */
async function pair(context: TestContext, kinds: readonly (readonly CarrierKind[])[], listed?: readonly string[]) {
  const [a, b] = kinds.map((each, i) => new FrameRouter(1 + i, each, PORT, i === 1 ? listed : undefined));
  context.after(async () => void (await Promise.all([a.stop(), b.stop()])));
  await b.listen(PORT);
  a.mesh.connect([{ text: b.host, address: `${b.host}:${PORT}`, port: true }], false);
  await until("frames pass", () => [a, b].every(({ connection }) => connection?.state === "established"));
  return [a, b] as const;
}

/** Sends frames both ways until each end has received one that was sent after the call. */
async function exchange(a: FrameRouter, b: FrameRouter): Promise<void> {
  const marker = Buffer.from(`${performance.now()} `.repeat(20));
  const [there, back] = [AT_A, AT_B].map((from) => Buffer.concat([BROADCAST, from, TYPE, marker]));
  const seen = new Set<FrameRouter>();
  await until("a frame arrives at each end", () => {
    a.write(there);
    b.write(back);
    for (const [at, frame] of [
      [b, there],
      [a, back],
    ] as const)
      for (let got = at.read(); got !== undefined; got = at.read()) if (got.equals(frame)) seen.add(at);
    return seen.size === 2;
  });
}

const inUse = (...routers: FrameRouter[]) => routers.map(({ connection }) => connection?.overlay?.name);

function folder(context: TestContext): string {
  const path = mkdtempSync(`${tmpdir()}/weave-pipes-`);
  context.after(() => rmSync(path, { recursive: true }));
  return path;
}

test("a third carrier is agreed on, preferred, carries frames, is replaced when it fails, and comes back when proven", async (context) => {
  const pipes = new Pipes(folder(context));
  const list = [pipes, ...CARRIERS];
  const [a, b] = await pair(context, [list, list]);
  assert.deepEqual(a.connection?.carriers, ["pipe", "sleeve", "stream"]);
  assert.deepEqual(b.connection?.carriers, a.connection.carriers);
  await until("the pipe is used", () => inUse(a, b).every((name) => name === "pipe"));
  const before = pipes.records;
  await exchange(a, b);
  assert.ok(pipes.records >= before + 2, `${pipes.records - before} records by the pipe`);
  assert.equal(a.diagnostics?.selection?.reason, "the preferred carrier");
  await until("sleeve works beside it", () =>
    [a, b].every((each) =>
      each.diagnostics?.carriers.some(({ name, condition }) => name === "sleeve" && condition === "usable"),
    ),
  );

  pipes.cut = true;
  await until("sleeve is used", () => inUse(a, b).every((name) => name === "sleeve"));
  const carried = pipes.records;
  await exchange(a, b);
  assert.equal(pipes.records, carried);
  for (const { diagnostics, connection } of [a, b]) {
    const { selection, carriers } = diagnostics!;
    assert.deepEqual([selection?.carrier, selection?.reason], ["sleeve", "the pipe is broken"]);
    assert.ok(Date.now() - Date.parse(selection!.since) < 5_000);
    assert.deepEqual(
      carriers.map(({ name, condition }) => [name, condition]),
      [
        ["pipe", "failed"],
        ["sleeve", "usable"],
        ["stream", "usable"],
      ],
    );
    assert.equal(connection?.overlay?.status().fallback?.reason, "the pipe is broken");
    assert.equal(connection?.state, "established");
  }

  const repairedAt = performance.now();
  pipes.cut = false;
  await until("the pipe is used again", () => inUse(a, b).every((name) => name === "pipe"));
  assert.ok(performance.now() - repairedAt >= RETURN_MS);
  await exchange(a, b);
  assert.ok(pipes.records >= carried + 2);
});

test("a peer that lists only sleeve gets sleeve and stream, and frames pass", async (context) => {
  const pipes = new Pipes(folder(context));
  const [a, b] = await pair(context, [[pipes, ...CARRIERS], CARRIERS], ["sleeve"]);
  assert.deepEqual(a.connection?.carriers, ["sleeve", "stream"]);
  assert.deepEqual(inUse(a, b), ["sleeve", "sleeve"]);
  await exchange(a, b);
});

test("while a carrier of the kernel is in use, the frame threads send by the next carrier", async (context) => {
  const selections: boolean[] = [];
  const peers: string[] = [];
  const kernel: CarrierKind = {
    name: "kernel",
    messages: {},
    open: (link, { clock, bridge }) => {
      peers.push(link.peer);
      assert.equal(bridge.mtu, 1_376);
      const carrier: Carrier & { state: unknown } = {
        name: "kernel",
        state: { condition: "probing", reason: "no answer yet", since: clock.now() },
        doubtful: false,
        nextHop: undefined,
        mtu: 1_410,
        start: () => {
          carrier.state = { condition: "usable", reason: "pings are answered", since: clock.now() };
          clock.after(1_500, () => {
            carrier.state = { condition: "failed", reason: "no pings are answered", since: clock.now() };
            link.changed();
          });
        },
        receive() {},
        onEvent() {},
        onLinksChanged() {},
        // Each choice is reported: on a busy machine stream may be used before sleeve has failed or answered.
        selected: (used) => {
          if (used !== isUsed) selections.push(used);
          isUsed = used;
        },
        attributes: () => ({}),
        diagnostics: () => ({}),
        stop() {},
      };
      let isUsed = false;
      return carrier;
    },
  };
  const list = [kernel, ...CARRIERS];
  const [a, b] = await pair(context, [list, list]);
  assert.deepEqual(inUse(a, b), ["kernel", "kernel"]);
  assert.equal(a.connection?.overlay?.status().mtu, 1_410);
  await exchange(a, b);
  await until("sleeve is used", () => inUse(a, b).every((name) => name === "sleeve"));
  await exchange(a, b);
  assert.deepEqual(selections.sort(), [false, false, true, true]);
  assert.deepEqual(peers.sort(), ["02:00:00:00:07:01", "02:00:00:00:07:02"]);
});

test("carriers with one name or message kind, and lists that others would misread, are rejected at the start", () => {
  const [sleeve, stream] = CARRIERS;
  const make = (...carriers: CarrierKind[]) =>
    new Carriers({
      carriers,
      datapath: { send() {} },
      bridge: { name: "weave", mtu: 1_376 },
      linkMtu: async () => undefined,
      sourceTo: async () => undefined,
      clock: systemClock,
      random: systemRandom,
      log: silentLog,
    });
  assert.deepEqual(make(stream, sleeve).carriers, ["stream", "sleeve"]);
  for (const list of [[sleeve], [sleeve, sleeve], [stream, { ...stream, name: "other" }]])
    assert.throws(() => make(...list), { code: "WEAVE_BOUNDS" });
  // A message for a carrier that was not agreed on is rejected.
  const link: OverlayLink = {
    remote: { name: "02:00:00:00:00:01", nickname: "x" } as OverlayLink["remote"],
    carriers: ["stream"],
    outbound: true,
    remoteHost: "127.0.0.1",
    localHost: "127.0.0.1",
    remotePort: 1,
    encrypted: true,
    secret: new Uint8Array(32),
    send() {},
    passes() {},
    doubt() {},
    carried() {},
  };
  const session = make(sleeve, stream).open(link);
  const arrivals = encode({ kind: "arrivals", expected: 1, accepted: 1, datagrams: 1 });
  assert.throws(() => session.receive(arrivals), { code: "WEAVE_MESSAGE_MALFORMED" });
  assert.throws(() => session.receive(encode({ kind: "unknown" })), { code: "WEAVE_MESSAGE_MALFORMED" });
  session.stop();
});

test("the link passes no frames while no agreed carrier works, and passes frames when a carrier works again", async (context) => {
  const pipes = new Pipes(folder(context));
  const [a, b] = await pair(context, [[pipes], [pipes]]);
  pipes.cut = true;
  await until("the link is pending", () => [a, b].every(({ connection }) => connection?.state === "pending"));
  assert.equal(a.diagnostics?.selection, undefined);
  assert.equal(a.connection?.overlay?.status().failure, "the pipe is broken");
  pipes.cut = false;
  await until("the link is established", () => [a, b].every(({ connection }) => connection?.state === "established"));
  await exchange(a, b);
});
