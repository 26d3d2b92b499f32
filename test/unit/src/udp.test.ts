import assert from "node:assert/strict";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { test } from "node:test";
import { WeaveError } from "#src/errors.js";
import { closeFd } from "#src/linux/native/files.js";
import { IoVector } from "#src/linux/native/io-vector.js";
import { Errno } from "#src/linux/native/libc.js";
import { Memory } from "#src/linux/native/memory.js";
import { openFrameSockets, openPeerSocket } from "#src/linux/native/udp.js";
import { UdpReceiver } from "#src/linux/native/udp-receiver.js";
import { type SendPath, UdpSender } from "#src/linux/native/udp-sender.js";
import { type Endpoint, endpoint, listenEndpoint } from "#src/net/endpoint.js";

const HOST = "127.0.0.1";
const ALL = { segment: true, gro: true };
const LANE_AT = 3;
const DATAGRAMS = 64;

const sendPath = (address: Endpoint, source?: string): SendPath => ({
  address,
  source: source === undefined ? undefined : endpoint(source, 0),
  batches: true,
});

async function bound(): Promise<Socket> {
  const socket = createSocket("udp4");
  socket.bind(0, HOST);
  await once(socket, "listening");
  return socket;
}

async function freePort(): Promise<number> {
  const socket = await bound();
  const { port } = socket.address();
  await new Promise<void>((resolve) => socket.close(() => resolve()));
  return port;
}

test("the port of frames belongs to one router: a second one is rejected, with one socket or several", async () => {
  for (const count of [1, 2]) {
    const port = await freePort();
    const { fds } = openFrameSockets(endpoint(HOST, port), count, LANE_AT, ALL);
    for (const again of [1, 2]) {
      assert.throws(
        () => openFrameSockets(endpoint(HOST, port), again, LANE_AT, ALL),
        (error) => error instanceof WeaveError && error.code === "WEAVE_PORT_IN_USE",
      );
    }
    for (const fd of fds) closeFd(fd);
  }
});

test("a peer's socket sends from the port of frames and receives nothing, while others open and close", async () => {
  const port = await freePort();
  const { fds, address } = openFrameSockets(endpoint(HOST, port), 2, LANE_AT, ALL);
  assert.ok(address);
  const receivers = fds.map((fd) => new UdpReceiver(fd));
  const memory = new Memory(65_536);
  const into = new IoVector(1);
  into.push(memory, 0, 65_536);
  const other = await bound();
  const open = () => new UdpSender(openPeerSocket(address, true), true);

  /** Sends datagrams, and returns the lanes that each receiver got. */
  const received = async (): Promise<number[][]> => {
    const sent = Array.from({ length: DATAGRAMS }, (_, i) => {
      const lane = (i % 2) << 4;
      return new Promise((resolve) => other.send(Uint8Array.of(0, 0, 0, lane, i), port, HOST, resolve));
    });
    await Promise.all(sent);
    return receivers.map((udp) => {
      const lanes: number[] = [];
      for (let count = udp.receive(into); count >= 0; count = udp.receive(into))
        for (let at = 0; at < count; at += udp.segmentBytes) lanes.push(memory.u8[at + LANE_AT] >> 4);
      return lanes;
    });
  };
  const expected = [0, 1].map((lane) => new Array(DATAGRAMS / 2).fill(lane));
  const senders = [open(), open(), open(), open()];
  assert.deepEqual(await received(), expected);
  for (const i of [0, 2]) senders[i].close();
  assert.deepEqual(await received(), expected);
  const late = open();
  assert.deepEqual(await received(), expected);

  const parts = new IoVector(1);
  parts.push(memory, 0, 3_000);
  assert.equal(late.send(parts, 1_000, 1, sendPath(endpoint(HOST, other.address().port))), 3_000);
  const [message, from] = await once(other, "message");
  assert.deepEqual([message.length, from.port], [1_000, port]);

  for (const sender of [senders[1], senders[3], late]) sender.close();
  for (const fd of fds) closeFd(fd);
  other.close();
});

test("datagrams leave from the requested address, one or a batch; an address of another host is rejected", async () => {
  const other = await bound();
  const to = endpoint(HOST, other.address().port);
  const { fds } = openFrameSockets(listenEndpoint("", await freePort()), 1, LANE_AT, ALL);
  const sender = new UdpSender(fds[0], true);
  const memory = new Memory(4_096);
  const parts = new IoVector(1);
  parts.push(memory, 0, 3_000);
  const received: { bytes: number; from: string }[] = [];
  other.on("message", ({ length }, { address }) => received.push({ bytes: length, from: address }));
  const from = async (source: string | undefined, segmentBytes: number) => {
    const sent = sender.send(parts, segmentBytes, 1, sendPath(to, source));
    if (sent < 0) return sent;
    while (received.reduce((sum, { bytes }) => sum + bytes, 0) < sent) await once(other, "message");
    return received.splice(0).map(({ bytes, from }) => `${from} ${bytes}`);
  };
  assert.deepEqual(await from("127.0.0.2", 3_000), ["127.0.0.2 3000"]);
  assert.deepEqual(await from("127.0.0.2", 1_000), new Array(3).fill("127.0.0.2 1000"));
  assert.deepEqual(await from(undefined, 1_000), new Array(3).fill("127.0.0.1 1000"));
  for (const segmentBytes of [3_000, 1_000]) {
    // TEST-NET-1 (RFC 5737).
    const refused = await from("192.0.2.1", segmentBytes);
    assert.ok(refused === -Errno.EINVAL || refused === -Errno.ENETUNREACH, String(refused));
  }
  sender.close();
  other.close();
});
