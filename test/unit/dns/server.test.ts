import assert from "node:assert/strict";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { type DecodedPacket, decode, encode, type Packet } from "dns-packet";
import { DnsServer } from "#router/names/dns-server.js";
import { ResolvConf } from "#router/names/resolv-conf.js";
import { framed, TcpReader, Upstream } from "#router/names/upstream.js";
import { parseCidr } from "#src/address.js";
import { systemClock } from "#src/clock.js";
import { silentLog } from "#src/log.js";
import { systemRandom } from "#src/random.js";
import { lonelyNameserver } from "#test/lab/names.js";

const TIMEOUT_MS = 300;

const FLOOD = `
  const { createSocket } = require("node:dgram");
  const { parentPort, workerData } = require("node:worker_threads");
  const socket = createSocket("udp4");
  const send = () => {
    for (let i = 0; i < 100; i++) socket.send(workerData.packets[i % 3], workerData.port, "127.0.0.1");
    setImmediate(send);
  };
  socket.bind(0, "127.0.0.9", () => {
    parentPort.postMessage("ready");
    send();
  });
`;

/** A server that knows `web` and 60 addresses of `many`, and asks fake servers at 127.0.0.x of one port. */
async function start(context: TestContext, upstreams: readonly string[], port = 9): Promise<DnsServer> {
  const names = lonelyNameserver();
  names.add("c1", "10.32.0.1", "web.weave.local");
  for (let i = 0; i < 60; i++) names.add("c2", `10.32.1.${i}`, "many.weave.local");
  const folder = mkdtempSync(join(tmpdir(), "weave-dns-"));
  const path = join(folder, "resolv.conf");
  writeFileSync(path, upstreams.map((address) => `nameserver ${address}\n`).join(""));
  const upstream = new Upstream({
    resolvConf: new ResolvConf(path, () => false),
    random: systemRandom,
    timeoutMs: TIMEOUT_MS,
    port,
  });
  const server = await DnsServer.listen("127.0.0.1", 0, {
    names,
    upstream,
    ttl: 1,
    clock: systemClock,
    log: silentLog,
  });
  context.after(async () => {
    names.stop();
    await server.close();
    rmSync(folder, { recursive: true });
  });
  return server;
}

type Fake = (
  query: DecodedPacket,
  raw: Buffer,
  reply: (response: Uint8Array) => void,
  socket: Socket,
  from: number,
) => void;

async function fakeUpstream(context: TestContext, host: string, port: number, fake: Fake): Promise<number> {
  const socket = createSocket("udp4");
  socket.on("message", (raw, from) =>
    fake(decode(raw), raw, (response) => socket.send(response, from.port, from.address), socket, from.port),
  );
  await new Promise<void>((resolve) => socket.bind(port, host, resolve));
  context.after(() => socket.close());
  return socket.address().port;
}

const query = (name: string, id = 7, extra: Partial<Packet> = {}) =>
  encode({ type: "query", id, flags: 1 << 8, questions: [{ type: "A", name }], ...extra });

const responseTo = ({ id, questions }: DecodedPacket, data: string, count = 1) =>
  encode({
    type: "response",
    id: id ?? 0,
    questions: questions ?? [],
    answers: Array.from({ length: count }, () => ({ type: "A" as const, name: questions![0].name, data })),
  });

function askUdp(
  port: number,
  bytes: Uint8Array,
  from = "127.0.0.1",
  waitMs = 3_000,
): Promise<DecodedPacket | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket("udp4");
    const end = (packet?: DecodedPacket) => {
      clearTimeout(timer);
      socket.close();
      resolve(packet);
    };
    const timer = setTimeout(end, waitMs);
    socket.on("message", (message) => end(decode(message)));
    socket.bind(0, from, () => socket.send(bytes, port, "127.0.0.1"));
  });
}

function askTcp(port: number, ...messages: Uint8Array[]): Promise<DecodedPacket[]> {
  return new Promise((resolve, reject) => {
    const got: DecodedPacket[] = [];
    const socket = connect({ host: "127.0.0.1", port }, () => {
      for (const message of messages) socket.write(framed(message));
    });
    const reader = new TcpReader((message) => {
      got.push(decode(Buffer.from(message)));
      if (got.length < messages.length) return;
      socket.destroy();
      resolve(got);
    });
    socket.on("data", (chunk) => reader.push(chunk));
    socket.on("error", reject);
  });
}

const rcode = (packet: DecodedPacket | undefined) => (packet as unknown as { rcode: string } | undefined)?.rcode;
const dataOf = (packet: DecodedPacket | undefined) => packet?.answers?.map((each) => ("data" in each ? each.data : ""));

test("names are answered over UDP and TCP, with all addresses that fit", async (context) => {
  const { port } = await start(context, []);
  assert.deepEqual(dataOf(await askUdp(port, query("web.weave.local"))), ["10.32.0.1"]);
  const cut = await askUdp(port, query("many"));
  assert.ok(cut?.flag_tc && cut.answers!.length < 60);
  const [whole, other] = await askTcp(port, query("many"), query("unknown"));
  assert.deepEqual([whole.answers!.length, whole.flag_tc, rcode(other)], [60, false, "NXDOMAIN"]);
  // Random order: clients that take the first one are spread.
  const orders = await Promise.all(Array.from({ length: 10 }, () => askTcp(port, query("many"))));
  assert.ok(new Set(orders.map(([packet]) => String(dataOf(packet)![0]))).size > 2);
  assert.equal(rcode(await askUdp(port, query("example.com"))), "SERVFAIL");
  assert.equal(rcode(await askUdp(port, query("x").subarray(0, 14))), "FORMERR");
});

test("of several addresses a client receives those in its subnets; a client of unknown subnets, or without any there, all", async (context) => {
  const server = await start(context, []);
  const subnets: Record<string, string[]> = {
    "127.0.0.1": ["10.32.1.8/30", "10.9.0.1/16"],
    "127.0.0.2": ["10.9.0.1/16"],
  };
  const find = (client: string) => subnets[client]?.map(parseCidr);
  for (const subnetsOf of [find, async (client: string) => find(client)]) {
    server.useSubnets({ subnetsOf });
    const near = ["10.32.1.10", "10.32.1.11", "10.32.1.8", "10.32.1.9"];
    assert.deepEqual(dataOf(await askUdp(server.port, query("many")))?.sort(), near);
    const [whole] = await askTcp(server.port, query("many"));
    assert.deepEqual(dataOf(whole)?.sort(), near);
    for (const client of ["127.0.0.2", "127.0.0.3"])
      assert.ok((await askUdp(server.port, query("many"), client))?.flag_tc, `all for ${client}`);
    assert.deepEqual(dataOf(await askUdp(server.port, query("web"))), ["10.32.0.1"], "one address is not compared");
  }
});

test("other queries are forwarded unchanged to the servers in order; a silent one costs its timeout", async (context) => {
  const seen: Buffer[] = [];
  const port = await fakeUpstream(context, "127.0.0.3", 0, (asked, raw, reply) => {
    seen.push(raw);
    reply(responseTo(asked, "192.0.2.1"));
  });
  await fakeUpstream(context, "127.0.0.2", port, () => {});
  const server = await start(context, ["127.0.0.2", "127.0.0.3"], port);
  const sent = query("Example.com", 99, {
    flags: (1 << 8) | (1 << 4),
    additionals: [{ type: "OPT", name: ".", udpPayloadSize: 1_232, flags: 1 << 15 } as never],
  });
  const began = performance.now();
  const got = await askUdp(server.port, sent);
  assert.ok(performance.now() - began >= TIMEOUT_MS - 20);
  assert.deepEqual([got?.id, dataOf(got)], [99, ["192.0.2.1"]]);
  // DNSSEC's bits and EDNS as they came; the id alone is ours.
  assert.deepEqual(seen[0].subarray(2), Buffer.from(sent).subarray(2));
  assert.notEqual(seen[0].readUInt16BE(0), 99);
});

test("an unreachable server is skipped immediately", async (context) => {
  const port = await fakeUpstream(context, "127.0.0.3", 0, (asked, _raw, reply) =>
    reply(responseTo(asked, "192.0.2.1")),
  );
  // The kernel refuses to connect to the address of a broadcast, as it does where there is no route.
  const server = await start(context, ["255.255.255.255", "127.0.0.3"], port);
  assert.deepEqual(dataOf(await askUdp(server.port, query("example.com"))), ["192.0.2.1"]);
});

test("upstream answers to other questions, or from another port, are ignored", async (context) => {
  const liar = createSocket("udp4");
  await new Promise<void>((resolve) => liar.bind(0, "127.0.0.1", resolve));
  context.after(() => liar.close());
  const port = await fakeUpstream(context, "127.0.0.1", 0, (asked, _raw, reply, _socket, from) => {
    const forged = responseTo(asked, "192.0.2.66");
    liar.send(forged, from, "127.0.0.1");
    reply(responseTo({ ...asked, id: (asked.id! + 1) & 65_535 }, "192.0.2.66"));
    reply(responseTo({ ...asked, questions: [{ type: "A", class: "IN", name: "example.org" }] }, "192.0.2.66"));
    reply(Buffer.from("nonsense"));
    if (asked.questions![0].name === "honest.example.com") setTimeout(() => reply(responseTo(asked, "192.0.2.1")), 50);
  });
  const server = await start(context, ["127.0.0.1"], port);
  assert.deepEqual(dataOf(await askUdp(server.port, query("honest.example.com"))), ["192.0.2.1"]);
  assert.equal(rcode(await askUdp(server.port, query("lies.example.com"))), "SERVFAIL");
});

test("an upstream answer larger than the client accepts is truncated, and whole over TCP", async (context) => {
  const port = await fakeUpstream(context, "127.0.0.1", 0, (asked, _raw, reply) =>
    reply(responseTo(asked, "192.0.2.1", 50)),
  );
  const tcp = createServer((socket) => {
    const reader = new TcpReader((message) =>
      socket.write(framed(responseTo(decode(Buffer.from(message)), "192.0.2.1", 50))),
    );
    socket.on("data", (chunk) => reader.push(chunk)).on("error", () => {});
  });
  await new Promise<void>((resolve) => tcp.listen(port, "127.0.0.1", resolve));
  context.after(() => void tcp.close());
  const server = await start(context, ["127.0.0.1"], port);
  const cut = await askUdp(server.port, query("example.com"));
  assert.deepEqual([cut?.flag_tc, cut?.answers?.length], [true, 0]);
  const [whole] = await askTcp(server.port, query("example.com"));
  assert.equal(whole.answers!.length, 50);
});

test("a client that floods, with forwarded queries too, leaves room for another", async (context) => {
  const port = await fakeUpstream(context, "127.0.0.1", 0, () => {});
  const server = await start(context, ["127.0.0.1"], port);
  // Another thread: what it costs to send is not ours to bear.
  const flood = new Worker(FLOOD, {
    eval: true,
    workerData: { port: server.port, packets: [query("web"), query("a.example.com"), query("b.example.com")] },
  });
  await once(flood, "message");
  // Long enough for its allowance to be used up, and its queue to be full.
  await sleep(1_500);
  let answered = 0;
  for (let i = 0; i < 50; i++) {
    // Once more, as every resolver does.
    const ask = () => askUdp(server.port, query("web"), "127.0.0.1", 500);
    if (((await ask()) ?? (await ask())) !== undefined) answered++;
  }
  await flood.terminate();
  assert.ok(answered >= 45, `${answered} of 50 were answered`);
});
