import assert from "node:assert/strict";
import { test } from "node:test";
import { AssemblyBudget, MAX_INCOMPLETE_BYTES } from "#mesh/connection/assembly-budget.js";
import { type ChannelEffect, MAX_MESSAGE_BYTES } from "#mesh/connection/channel.js";
import { openChannels } from "../handshake/ends.js";

const MB = 1 << 20;
const bytesOf = (effects: readonly ChannelEffect[]) =>
  effects.flatMap((effect) => (effect.do === "send" ? [effect.bytes] : []));
const kinds = (effects: readonly ChannelEffect[]) => effects.map((effect) => effect.do);

test("of incomplete messages that need too much memory together the longest is dropped, and its connection goes on", () => {
  const budget = new AssemblyBudget(3 * MB);
  const pairs = [1, 2, 3].map(() => openChannels(undefined, budget));
  const messages = [2 * MB, 1.5 * MB, 200_000].map((size) => new Uint8Array(size).fill(7));
  const parts = pairs.map(([from], i) => bytesOf(from.send(messages[i])));
  const receive = (i: number, some: readonly Uint8Array[]) => some.flatMap((bytes) => pairs[i][1].receive(bytes, 0));
  // The small one begins, then the two long ones, all but their last parts.
  for (const i of [2, 0, 1]) assert.deepEqual(receive(i, parts[i].slice(0, -1)), []);
  assert.ok(budget.bytes <= 3 * MB, `${budget.bytes}`);
  const last = (i: number) => receive(i, parts[i].slice(-1));
  const [dropped] = last(0);
  assert.ok(dropped.do === "dropped" && dropped.error.code === "WEAVE_MESSAGE_TOO_LARGE");
  for (const i of [1, 2]) {
    const [message] = last(i);
    assert.ok(message.do === "message" && Buffer.compare(message.bytes, messages[i]) === 0);
  }
  assert.equal(budget.bytes, 0);
  // The same message again, when there is room; what came before is in no way in it.
  const again = bytesOf(pairs[0][0].send(messages[0]));
  assert.deepEqual(kinds(receive(0, again)), ["message"]);
  assert.equal(budget.bytes, 0);
});

test("connections that never end a message hold no more than the limit, and a closed one holds nothing", () => {
  const budget = new AssemblyBudget();
  const pairs = Array.from({ length: 4 }, () => openChannels(undefined, budget));
  const almost = bytesOf(openChannels()[0].send(new Uint8Array(MAX_MESSAGE_BYTES))).length - 1;
  let most = 0;
  for (const [from, to] of pairs) {
    for (const bytes of bytesOf(from.send(new Uint8Array(MAX_MESSAGE_BYTES))).slice(0, almost)) {
      assert.deepEqual(to.receive(bytes, 0), []);
      most = Math.max(most, budget.bytes);
    }
  }
  assert.ok(most > MAX_MESSAGE_BYTES && most <= MAX_INCOMPLETE_BYTES, `${most}`);
  for (const [, to] of pairs) to.close();
  assert.equal(budget.bytes, 0);
});
