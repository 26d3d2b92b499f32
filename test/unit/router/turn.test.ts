import assert from "node:assert/strict";
import { test } from "node:test";
import { nextTurn, type Turn } from "#router/datapath/turn.js";

test("the next turn follows from the last one, and from what the wait has shown", () => {
  // What has come is fresh after a wait alone.
  const table: readonly (readonly [turn: Turn, working: Turn, waited: Turn, fresh: Turn])[] = [
    ["many", "many", "unsure", "lone"],
    ["lone", "many", "unsure", "lone"],
    ["unsure", "many", "many", "lone"],
  ];
  for (const [turn, working, waited, fresh] of table)
    assert.deepEqual(
      [nextTurn(turn, false, false), nextTurn(turn, true, false), nextTurn(turn, true, true)],
      [working, waited, fresh],
      turn,
    );
});

test("of packets that are there after each wait every other turn handles one, and the others all", () => {
  const turns: Turn[] = ["lone"];
  while (turns.length < 6) turns.push(nextTurn(turns.at(-1)!, true, false));
  assert.deepEqual(turns, ["lone", "unsure", "many", "unsure", "many", "unsure"]);
});
