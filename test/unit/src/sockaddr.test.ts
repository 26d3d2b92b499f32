import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { test } from "node:test";
import fc from "fast-check";
import koffi from "koffi";
import { closeFd } from "#src/linux/native/files.js";
import { IoVector } from "#src/linux/native/io-vector.js";
import { Memory } from "#src/linux/native/memory.js";
import { MessageBatch } from "#src/linux/native/message-batch.js";
import { readSockaddr, SOCKADDR_ROOM, sockaddrId, writeSockaddr } from "#src/linux/native/sockaddr.js";
import { openFrameSockets } from "#src/linux/native/udp.js";
import { UdpReceiver } from "#src/linux/native/udp-receiver.js";
import { endpoint, endpointText, NO_ENDPOINT } from "#src/net/endpoint.js";

const getsockname = koffi.load(null).func("int getsockname(int fd, _Out_ uint8_t *name, _Inout_ uint32_t *length)");

test("written addresses have the layout that the kernel reads and writes", () => {
  for (const host of ["127.0.0.1", "127.1.2.3", "127.255.255.254"]) {
    const { fds } = openFrameSockets(endpoint(host, 0), 1, 3, { segment: false, gro: false });
    const [name, length] = [new Uint8Array(SOCKADDR_ROOM), [SOCKADDR_ROOM]];
    assert.equal(getsockname(fds[0], name, length), 0);
    closeFd(fds[0]);
    const view = new DataView(name.buffer);
    const bound = readSockaddr(view, 0)!;
    assert.ok(bound.port > 0);
    assert.equal(endpointText(bound), `${host}:${bound.port}`);
    assert.equal(sockaddrId(view, 0), bound.id);
    const written = new DataView(new ArrayBuffer(SOCKADDR_ROOM));
    assert.equal(writeSockaddr(written, 0, endpoint(host, bound.port)), length[0]);
    assert.deepEqual(new Uint8Array(written.buffer), name);
  }
});

test("the source of a datagram is the sender's address, with receive and with receiveMany", async () => {
  const { fds } = openFrameSockets(endpoint("127.0.0.1", 0), 1, 3, { segment: false, gro: false });
  const [name, length] = [new Uint8Array(SOCKADDR_ROOM), [SOCKADDR_ROOM]];
  getsockname(fds[0], name, length);
  const { port } = readSockaddr(new DataView(name.buffer), 0)!;
  const receiver = new UdpReceiver(fds[0]);
  const memory = new Memory(4_096);
  const parts = new IoVector(1);
  parts.push(memory, 0, 1_024);
  const batch = new MessageBatch(4, 1);
  batch.layOut(4, (to, i) => to.push(memory, i * 1_024, 1_024));
  const senders = await Promise.all(
    ["127.0.0.5", "127.9.8.7", "127.0.0.5"].map(async (host) => {
      const socket = createSocket("udp4").bind(0, host);
      await once(socket, "listening");
      return socket;
    }),
  );
  const send = async () => {
    for (const socket of senders)
      await new Promise((sent) => socket.send(Uint8Array.of(1, 2, 3, 4), port, "127.0.0.1", sent));
  };
  const expected = senders.map((socket) => endpoint(socket.address().address, socket.address().port));
  await send();
  for (const from of expected) {
    assert.equal(receiver.receive(parts), 4);
    assert.deepEqual([receiver.sourceId, receiver.source], [from.id, from]);
  }
  await send();
  assert.equal(receiver.receiveMany(batch), senders.length);
  for (const [i, from] of expected.entries())
    assert.deepEqual([batch.sourceIdOf(i), batch.sourceOf(i)], [from.id, from]);
  for (const socket of senders) socket.close();
  closeFd(fds[0]);
});

test("a written endpoint is read again; an unknown family has no endpoint", () => {
  const view = new DataView(new ArrayBuffer(SOCKADDR_ROOM + 8));
  fc.assert(
    fc.property(fc.ipV4(), fc.integer({ min: 0, max: 65_535 }), fc.integer({ min: 0, max: 8 }), (host, port, at) => {
      const value = endpoint(host, port);
      writeSockaddr(view, at, value);
      assert.deepEqual(readSockaddr(view, at), value);
      assert.equal(sockaddrId(view, at), value.id);
    }),
  );
  for (const family of [0, 1, 10, 17, 0xffff]) {
    view.setUint16(0, family, true);
    assert.equal(readSockaddr(view, 0), undefined);
    assert.equal(sockaddrId(view, 0), NO_ENDPOINT);
  }
});
