import assert from "node:assert/strict";
import { test } from "node:test";
import { diffieHellman, hkdf, keyPair } from "#mesh/handshake/noise.js";
import type { Carrier, CarrierDeps, CarrierLink, CarrierMessage } from "#router/carriers/carrier.js";
import type { CarrierSpeeds, TunnelWish } from "#router/carriers/fastdp/carrier-speeds.js";
import { fastdpCarrier, RETRY_MS } from "#router/carriers/fastdp/fastdp.js";
import { Heartbeats } from "#router/carriers/fastdp/heartbeats.js";
import type { KernelTunnel, PeerTunnelOptions, TunnelKey } from "#router/carriers/fastdp/kernel-tunnel.js";
import { KeyProof } from "#router/carriers/fastdp/key-proof.js";
import { silentLog } from "#src/log.js";
import { seededRandom, VirtualClock } from "#test/sim/virtual-time.js";

const NAMES = ["02:00:00:00:00:01", "02:00:00:00:00:02"];

/** A tunnel without a kernel: frames of one end arrive at the other one. */
class Wire implements KernelTunnel {
  readonly description = "VXLAN";
  readonly overhead = 50;
  readonly isOff = false;
  wish: TunnelWish | undefined;
  key: TunnelKey | undefined;
  readonly port = 6_784;
  readonly cookie = 7;
  readonly heartbeats: Heartbeats;
  problem: string | undefined;
  readonly connected: PeerTunnelOptions[] = [];
  /** What frames take, last first. */
  readonly carried: boolean[] = [];
  released = 0;
  /** Why the kernel refuses peers. */
  refuses: string | undefined;
  /** What {@link connect} waits for. */
  delay: Promise<void> = Promise.resolve();
  #changed: (() => void)[] = [];

  constructor(self: string, clock: VirtualClock, other: () => Wire, passes: (bytes: number) => boolean) {
    this.heartbeats = new Heartbeats(self);
    this.heartbeats.use({
      send(_to, _from, payload, bytes, cookie) {
        assert.equal(cookie, 7);
        if (passes(bytes)) clock.after(1, () => other().heartbeats.receive(payload));
        return 0;
      },
    });
  }

  onChange(changed: () => void): () => void {
    this.#changed.push(changed);
    return () => {
      this.#changed = this.#changed.filter((each) => each !== changed);
    };
  }

  set(problem: string | undefined): void {
    this.problem = problem;
    for (const changed of this.#changed) changed();
  }

  opened(): void {}

  async connect(options: PeerTunnelOptions) {
    this.connected.push(options);
    const { refuses } = this;
    await this.delay;
    if (refuses !== undefined) throw new Error(refuses);
    return {
      address: options.host,
      carry: (carries: boolean) => void this.carried.unshift(carries),
      setMtu() {},
      release: () => void this.released++,
    };
  }
}

/** The key of one of several hosts. */
function keyOf(number: number): TunnelKey {
  const { secret, public: ours } = keyPair(new Uint8Array(32).fill(number));
  return { public: ours, agree: (theirs) => diffieHellman(secret, theirs) };
}

/** Two ends of a connection, in clear by default, with the carrier of the kernel at each. */
function pair({ largest = 9_999, linkMtu = 1_500, encrypted = false } = {}) {
  const clock = new VirtualClock();
  const state = { largest };
  const wires: Wire[] = NAMES.map(
    (name, i) =>
      new Wire(
        name,
        clock,
        () => wires[1 - i],
        (bytes) => bytes <= state.largest,
      ),
  );
  if (encrypted)
    for (const [i, wire] of wires.entries()) {
      wire.key = keyOf(i + 1);
      wire.wish = { choice: "auto", speeds: undefined };
    }
  const messages: CarrierMessage[][] = [[], []];
  const secret = new Uint8Array(32).fill(9);
  const carriers: Carrier[] = wires.map((tunnel, i) => {
    const link: CarrierLink = {
      session: i + 1,
      peer: NAMES[1 - i],
      peerText: "x",
      outbound: i === 0,
      encrypted,
      remoteHost: `10.0.0.${2 - i}`,
      localHost: `10.0.0.${i + 1}`,
      remotePort: 6_783,
      send: (message) => {
        messages[i].push(message);
        clock.after(1, () => carriers[1 - i].receive(message));
      },
      secretFor: (purpose) => hkdf(secret, Buffer.from(purpose), 1)[0],
      changed() {},
      carried() {},
    };
    const deps: CarrierDeps = {
      datapath: { send() {} },
      bridge: { name: "weave", mtu: 1_376 },
      linkMtu: async () => linkMtu,
      sourceTo: async () => undefined,
      clock,
      random: seededRandom(1),
      log: silentLog,
    };
    return fastdpCarrier({ clear: tunnel, encrypted: tunnel }).open(link, deps);
  });
  return { clock, wires, carriers, messages, state };
}

const conditions = (carriers: readonly Carrier[]) => carriers.map(({ state }) => state.condition);
const doubts = (carriers: readonly Carrier[]) => carriers.map(({ doubtful }) => doubtful);

test("both ends announce their tunnels, prove the path and carry frames as they are selected", async () => {
  const { clock, wires, carriers, messages } = pair();
  for (const carrier of carriers) carrier.start();
  await clock.run(300);
  assert.deepEqual(conditions(carriers), ["usable", "usable"]);
  assert.deepEqual(messages[0], [{ kind: "tunnel", port: 6_784, reason: "", key: new Uint8Array(), cookie: 7 }]);
  assert.deepEqual([wires[0].connected[0].host, carriers[0].mtu, carriers[0].nextHop], ["10.0.0.2", 1_450, undefined]);
  carriers[0].selected(true);
  assert.equal(wires[0].carried[0], true);
  carriers[0].selected(false);
  assert.equal(wires[0].carried[0], false);
  carriers[0].stop();
  assert.equal(wires[0].released, 1);
  await clock.run(3_000);
  assert.equal(carriers[1].state.condition, "failed");
});

test("a path that carries small frames alone fails, and one whose link is short proves what that carries", async () => {
  const { clock, carriers, state } = pair();
  for (const carrier of carriers) carrier.start();
  await clock.run(300);
  state.largest = 1_375;
  await clock.run(2_000);
  assert.deepEqual(conditions(carriers), ["failed", "failed"]);
  assert.match(carriers[0].state.reason, /^VXLAN does not pass: no heartbeat has arrived for 1\.75 s$/);
  const short = pair({ linkMtu: 1_400, largest: 1_350 });
  for (const carrier of short.carriers) carrier.start();
  await short.clock.run(300);
  assert.deepEqual(conditions(short.carriers), ["usable", "usable"]);
  assert.equal(short.carriers[0].mtu, 1_350);
});

test("a tunnel that one end lacks fails at both with the reason, and is proven when it is there", async () => {
  const { clock, wires, carriers } = pair();
  wires[1].problem = "this kernel has no VXLAN";
  for (const carrier of carriers) carrier.start();
  await clock.run(100);
  assert.deepEqual(
    carriers.map(({ state }) => state.reason),
    ["at the other end: this kernel has no VXLAN", "this kernel has no VXLAN"],
  );
  wires[1].set(undefined);
  await clock.run(300);
  assert.deepEqual(conditions(carriers), ["usable", "usable"]);
  wires[0].set("it was removed");
  await clock.run(100);
  assert.deepEqual(conditions(carriers), ["failed", "failed"]);
  assert.equal(wires[0].carried[0], false);
});

test("a path is in doubt until its first proof, while heartbeats are missing, and when a tunnel has ended", async () => {
  const { clock, wires, carriers, state } = pair();
  for (const carrier of carriers) carrier.start();
  assert.deepEqual(doubts(carriers), [true, true]);
  await clock.run(300);
  assert.deepEqual(doubts(carriers), [false, false]);
  state.largest = 0;
  await clock.run(1_200);
  assert.deepEqual(doubts(carriers), [true, true]);
  state.largest = 9_999;
  await clock.run(10_000);
  assert.deepEqual(
    [conditions(carriers), doubts(carriers)],
    [
      ["usable", "usable"],
      [false, false],
    ],
  );
  wires[0].set("it was removed");
  await clock.run(100);
  assert.deepEqual(doubts(carriers), [true, true]);
});

test("a peer that the kernel refuses is tried again", async () => {
  const { clock, wires, carriers } = pair();
  wires[0].refuses = "the request was interrupted";
  for (const carrier of carriers) carrier.start();
  await clock.run(100);
  assert.deepEqual([carriers[0].state.condition, carriers[0].state.reason], ["failed", "the request was interrupted"]);
  wires[0].refuses = undefined;
  await clock.run(RETRY_MS + 10_000);
  assert.deepEqual(conditions(carriers), ["usable", "usable"]);
  const attempts = wires[0].connected.length;
  await clock.run(2 * RETRY_MS);
  assert.equal(wires[0].connected.length, attempts);
});

test("a tunnel that ends while the kernel is asked starts no proof, and a stopped carrier releases its peer", async () => {
  const { clock, wires, carriers } = pair();
  const waits = () => {
    let go = () => {};
    wires[0].delay = new Promise((resolve) => {
      go = resolve;
    });
    return () => go();
  };
  let go = waits();
  for (const carrier of carriers) carrier.start();
  await clock.run(100);
  wires[0].set("it was removed");
  go();
  await clock.run(2_000);
  assert.equal(carriers[0].state.reason, "it was removed");
  assert.equal(carriers[0].diagnostics().HeartbeatsSent, 0);
  assert.equal(wires[0].carried[0], false);
  go = waits();
  wires[0].set(undefined);
  carriers[0].stop();
  go();
  await clock.run(100);
  // That of the first connection, and that of the second.
  assert.equal(wires[0].released, 2);
});

test("a key of WireGuard leads to a peer when the peer has proven that it is its own, and not before", async () => {
  const { clock, wires, carriers } = pair({ encrypted: true });
  for (const carrier of carriers) carrier.start();
  await clock.run(300);
  assert.deepEqual(conditions(carriers), ["usable", "usable"]);
  assert.deepEqual(wires[0].connected[0].publicKey, wires[1].key!.public);
  // The second one names the key of a third host, whose secret it does not have.
  const stolen = pair({ encrypted: true });
  stolen.wires[1].key = { ...stolen.wires[1].key!, public: keyOf(3).public };
  for (const carrier of stolen.carriers) carrier.start();
  await stolen.clock.run(3 * RETRY_MS);
  assert.deepEqual(stolen.wires[0].connected, []);
  assert.deepEqual(
    [stolen.carriers[0].state.condition, stolen.carriers[0].state.reason],
    ["failed", "at the other end: the key of its WireGuard is not proven to be its own"],
  );
  // A key that is none.
  const none = pair({ encrypted: true });
  none.wires[1].key = { ...none.wires[1].key!, public: new Uint8Array(32) };
  for (const carrier of none.carriers) carrier.start();
  await none.clock.run(300);
  assert.deepEqual(none.wires[0].connected, []);
});

test("a proof of one connection, or of the other direction, is none on another", () => {
  const proofs = (secret: number, isDialler: boolean) =>
    new KeyProof(keyOf(1), new Uint8Array(32).fill(secret), isDialler);
  const other = (secret: number, isDialler: boolean) =>
    new KeyProof(keyOf(2), new Uint8Array(32).fill(secret), isDialler);
  const [ours, theirs] = [keyOf(1).public, keyOf(2).public];
  const proof = other(9, false).make(ours);
  assert.equal(proofs(9, true).isRight(theirs, proof), true);
  assert.equal(proofs(8, true).isRight(theirs, proof), false);
  assert.equal(proofs(9, false).isRight(theirs, proof), false);
  assert.equal(proofs(9, true).isRight(theirs, proofs(9, true).make(theirs)), false, "our own, sent back");
  assert.equal(proofs(9, true).isRight(keyOf(3).public, proof), false);
  assert.equal(proofs(9, true).isRight(new Uint8Array(32), proof), false);
});

test("both ends of an encrypted connection agree on the order, from what both have measured", async () => {
  const { clock, wires, carriers } = pair({ encrypted: true });
  for (const carrier of carriers) carrier.start();
  await clock.run(300);
  const orders = () => carriers.map((carrier) => carrier.follows);
  assert.deepEqual(orders(), ["sleeve", "sleeve"], "nothing is measured");
  const measure = async (end: number, speeds: CarrierSpeeds) => {
    wires[end].wish = { choice: "auto", speeds };
    wires[end].set(undefined);
    await clock.run(10);
    return orders();
  };
  assert.deepEqual(await measure(0, { wireguard: 9e8, sleeve: 5e8 }), ["sleeve", "sleeve"], "one end is not measured");
  assert.equal(carriers[0].diagnostics().Order, "WireGuard's speed is not measured at the other end");
  assert.deepEqual(await measure(1, { wireguard: 3e8, sleeve: 4e8 }), ["sleeve", "sleeve"], "the other end is slow");
  assert.equal(carriers[1].diagnostics().Order, "measured, the slower end counts: WireGuard 300 MB/s, sleeve 400 MB/s");
  assert.deepEqual(await measure(1, { wireguard: 6e8, sleeve: 5e8 }), [undefined, undefined]);
  assert.equal(carriers[0].diagnostics().Order, "measured: WireGuard 600 MB/s, sleeve 500 MB/s");
  wires[1].wish = { choice: "on", speeds: undefined };
  wires[1].set(undefined);
  await clock.run(10);
  assert.deepEqual(orders(), [undefined, undefined]);
  assert.equal(carriers[0].diagnostics().Order, "--fastdp-encrypted on at the other end");
});
