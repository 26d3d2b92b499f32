import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Wire } from "#mesh/transport.js";
import { dialWebSocket, listenWebSocket } from "#router/peers/ws-transport.js";
import { tcpQuietMs, tcpRoundTripMs } from "#src/linux/native/tcp.js";

const PORT = 46_783;

test("both ends of a wire report the bytes received, and the time since the other end's kernel last sent a packet", async () => {
  let accepted: (wire: Wire) => void;
  const inbound = new Promise<Wire>((resolve) => {
    accepted = resolve;
  });
  const listener = await listenWebSocket("127.0.0.1", PORT, (wire) => accepted(wire));
  try {
    const dialler = await dialWebSocket(`127.0.0.1:${PORT}`, undefined, new AbortController().signal);
    const other = await inbound;
    const messages: Uint8Array[] = [];
    dialler.listen({ message: () => {}, closed: () => {} });
    const came = new Promise<void>((resolve) => {
      other.listen({
        message: (bytes) => {
          messages.push(bytes);
          resolve();
        },
        closed: () => {},
      });
    });
    const lastPacketAt = (wire: Wire) => performance.now() - wire.quietMs!;
    const before = { received: other.received, ours: lastPacketAt(dialler), theirs: lastPacketAt(other) };
    await sleep(300);
    dialler.send(new Uint8Array(5_000));
    await came;
    assert.equal(messages[0].length, 5_000);
    assert.ok(other.received >= before.received + 5_000);
    assert.ok(lastPacketAt(other) > before.theirs + 200);
    assert.ok(dialler.roundTripMs! > 0 && dialler.roundTripMs! < 1_000, `${dialler.roundTripMs} ms`);
    // Nothing was sent back but an acknowledgement.
    assert.ok(lastPacketAt(dialler) > before.ours + 200);
    dialler.close();
  } finally {
    await listener.close();
  }
  assert.equal(tcpQuietMs(1_000_000), undefined);
  assert.equal(tcpRoundTripMs(1_000_000), undefined);
});
