import assert from "node:assert/strict";
import { test } from "node:test";
import type { Wire } from "#mesh/transport.js";
import { listenWebSocket } from "#router/peers/ws-transport.js";
import { APPROACHES, answerOf, FRAMES, UPGRADE } from "#test/lab/approaches.js";

const PORT = 46_784;

test("a stranger gets the same answer to every wrong approach: the connection is closed, without a byte", async () => {
  const wires: Wire[] = [];
  const listener = await listenWebSocket("127.0.0.1", PORT, (wire) => void wires.push(wire));
  try {
    const answers = await Promise.all(
      Object.entries(APPROACHES).map(async ([what, bytes]) => [what, await answerOf("127.0.0.1", PORT, bytes)]),
    );
    for (const [what, answer] of answers) assert.equal(answer, "", what);
    assert.equal(wires.length, 0);
  } finally {
    await listener.close();
  }
});

test("after its request a stranger gets no frame that the mesh did not send, whatever frames it sends", async () => {
  const listener = await listenWebSocket("127.0.0.1", PORT, (wire) =>
    wire.listen({ message: () => wire.terminate(), closed: () => {} }),
  );
  try {
    const answers = await Promise.all(
      Object.entries(FRAMES).map(async ([what, frame]) => [what, await answerOf("127.0.0.1", PORT, UPGRADE, frame)]),
    );
    for (const [what, answer] of answers) {
      assert.match(answer, /^HTTP\/1\.1 101 .*\r\n\r\n$/s, what);
      assert.equal(answer, answers[0][1], what);
      assert.doesNotMatch(answer, /server|version|node|ws\/|\d+\.\d+\.\d+/i);
    }
  } finally {
    await listener.close();
  }
});
