import assert from "node:assert/strict";
import { test } from "node:test";
import { schemaOf } from "#cli/json/document.js";
import { EVENT_FLAGS } from "#cli/support/command-flags.js";
import { type EventChoice, eventSelection } from "#cli/support/event-selection.js";
import { EVENTS_SCHEMA, type EventRow } from "#router/event-log/event-row.js";

const NOW = Date.parse("2026-03-01T12:00:00Z");
const ROW: EventRow = {
  Id: "02:00:00:00:00:01/1",
  Time: "2026-03-01T11:00:00.000Z",
  Peer: "02:00:00:00:00:01",
  Nickname: "h1",
  Kind: "link-down",
  Severity: "warning",
  Subject: "02:00:00:00:00:02(h2)",
  Text: "a text",
};

const isShown = (choice: EventChoice, row: EventRow = ROW) => eventSelection(choice, NOW)(row);

test("events are chosen by age or time, level, kind, and by the peer that reports or is concerned", () => {
  assert.ok(isShown({}));
  assert.deepEqual(
    ["59m", "61m", "3600s", "1d", "2026-03-01T10:59Z", "2026-03-01T11:01Z"].map((since) => isShown({ since })),
    [false, true, true, true, true, false],
  );
  assert.deepEqual(
    (["info", "warning", "error"] as const).map((severity) => isShown({ severity })),
    [true, true, false],
  );
  assert.deepEqual([isShown({ kind: "link-down" }), isShown({ kind: "link-up" })], [true, false]);
  for (const peer of ["h1", ROW.Peer, "h2", "02:00:00:00:00:02", ROW.Subject]) assert.ok(isShown({ peer }), peer);
  for (const peer of ["h", "H1", "02:00", "2(h2"]) assert.ok(!isShown({ peer }), peer);
});

test("--since takes an age or a time, and nothing else", () => {
  const { shape } = EVENT_FLAGS.since;
  for (const good of ["90s", "15m", "7d", "2026-01-31", "2026-01-31T18:00", "2026-01-31T18:00:00Z"])
    assert.equal(shape.parse(good), good);
  for (const bad of ["", "5", "5y", "-5m", "yesterday", "2026-13-01", "1e9s"]) assert.throws(() => shape.parse(bad));
});

test("the router's document is that of the command", () => {
  assert.equal(schemaOf("events"), EVENTS_SCHEMA);
});
