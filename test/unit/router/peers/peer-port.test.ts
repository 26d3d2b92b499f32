import assert from "node:assert/strict";
import { test } from "node:test";
import type { Wire } from "#mesh/transport.js";
import { PeerPort } from "#router/peers/peer-port.js";
import { dialWebSocket, listenWebSocket } from "#router/peers/ws-transport.js";

test("a peer that dials during the start waits for its end, and loses no message", { timeout: 20_000 }, async () => {
  const peerPort = new PeerPort();
  const port = 16_790 + (process.pid % 1_000);
  let arrived: () => void;
  const held = new Promise<void>((resolve) => {
    arrived = resolve;
  });
  const listener = await listenWebSocket("127.0.0.1", port, (wire) => {
    peerPort.receive(wire);
    arrived();
  });
  try {
    const dialled = await dialWebSocket(`127.0.0.1:${port}`, undefined, new AbortController().signal);
    const closed: string[] = [];
    dialled.listen({ message() {}, closed: (why) => closed.push(why) });
    dialled.send(Buffer.from("hello"));
    await held;
    const message = new Promise<string>((resolve) =>
      peerPort.open((wire: Wire) =>
        wire.listen({ message: (bytes) => resolve(Buffer.from(bytes).toString()), closed() {} }),
      ),
    );
    assert.equal(await message, "hello");
    assert.deepEqual(closed, []);
    dialled.terminate();
  } finally {
    await listener.close();
  }
});
