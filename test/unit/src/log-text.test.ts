import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { logLine } from "#src/log-sink.js";
import { terminalLine, withPriority } from "#src/log-text.js";

const shown = (...line: Parameters<typeof logLine>) =>
  terminalLine(logLine(...line), false).replace(/^\d\d:\d\d:\d\d /, "");

test("on a terminal a line is a sentence with its fields", () => {
  assert.equal(shown("info", "router stopped"), "router stopped\n");
  const fields = { peer: "02:00:00:00:00:02(h2)", why: "no route to host", ms: 12, list: ["a"] };
  assert.equal(
    shown("warn", "a peer is away", fields),
    'WARN: a peer is away peer=02:00:00:00:00:02(h2) why="no route to host" ms=12 list=["a"]\n',
  );
  assert.equal(terminalLine("no JSON\n", true), "no JSON\n");
});

test("levels have colours, where there are any", () => {
  const error = terminalLine(logLine("error", "e"), true);
  assert.deepEqual([error.startsWith("\u001B[31m"), error.endsWith(" ERROR: e\u001B[0m\n")], [true, true]);
  assert.match(terminalLine(logLine("info", "i"), true), /^\d\d:\d\d:\d\d i\n$/);
});

test("no text of a peer reaches the terminal as a control sequence", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), (message, value) => {
      assert.match(shown("info", message, { value, nested: [value] }), /^[^\p{C}]*\n$/u);
    }),
  );
});

test("in the journal each line has its priority", () => {
  const starts = (["debug", "info", "warn", "error"] as const).map((level) =>
    withPriority(logLine(level, "m")).slice(0, 4),
  );
  assert.deepEqual(starts, ["<7>{", "<6>{", "<4>{", "<3>{"]);
  assert.equal(withPriority("else\n"), "<6>else\n");
});
