import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { EventDraft } from "#router/event-log/event.js";
import { collectEvents, type LogLines } from "#router/event-log/event-collector.js";
import { eventOfLine, LINE_RULES } from "#router/event-log/log-events.js";
import { Emitter } from "#src/emitter.js";
import { type LogLevel, observed, silentLog } from "#src/log.js";
import { Problems } from "#src/problems.js";

const root = new URL("../../../../../", import.meta.url).pathname;
const H2 = "02:00:00:00:00:02(h2)";

const eventOf = (level: LogLevel, message: string, fields: object = {}) =>
  eventOfLine({ level, message, fields: fields as Record<string, unknown> });

test("each message with a rule is one that the router logs", () => {
  const sources = ["router", "mesh", "ipam", "dns", "docker", "src"]
    .flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).map((name) => join(root, folder, name)),
    )
    .filter((path) => path.endsWith(".ts") && !path.endsWith("log-events.ts"))
    .map((path) => readFileSync(path, "utf8"))
    .join("\n");
  const stale = Object.keys(LINE_RULES).filter((message) => !sources.includes(`"${message}"`));
  assert.deepEqual(stale, []);
});

test("the end of a connection has the reason of status; one that stops is no warning, and a stranger's is no event", () => {
  const ended = (fields: object) => eventOf("info", "connection ended", fields);
  assert.deepEqual(ended({ peer: H2, outbound: false, why: "read ECONNRESET" }), {
    kind: "link-down",
    severity: "warning",
    subject: H2,
    text: `the connection to ${H2} has ended: read ECONNRESET`,
  });
  assert.equal(ended({ peer: H2, outbound: true, why: `${H2} is stopping` })?.severity, "info");
  assert.equal(ended({ peer: "10.0.0.9:41234", outbound: false, why: "a port scan" }), undefined);
  assert.equal(ended({ peer: "10.0.0.9:6783", outbound: true, why: "the passwords differ" })?.kind, "link-down");
});

test("refusals of one client have one subject, whatever its port", () => {
  const subjects = ["10.0.0.9:1", "10.0.0.9:2"].map(
    (from) => eventOf("warn", "a connection was refused", { from, why: "the passwords differ" })?.subject,
  );
  assert.deepEqual(subjects, ["10.0.0.9", "10.0.0.9"]);
  assert.equal(eventOf("warn", "a wrong password", { from: "10.0.0.9", count: 3 }), undefined);
});

test("a warning without a rule is a fault with its facts; an information without one is no event", () => {
  assert.deepEqual(
    eventOf("error", "something new", { a: 1, list: ["b", "c"], stack: "s", why: new Error("broken") }),
    {
      kind: "fault",
      severity: "error",
      subject: "",
      text: "something new (a 1, list b c): broken",
    },
  );
  for (const message of ["something new", "toString", "constructor"]) assert.equal(eventOf("info", message), undefined);
  assert.equal(eventOf("debug", "a handshake begins"), undefined);
});

test("a conflict of identities names both sides, and who reports it", () => {
  const claimants = { kept: { nickname: "h1", identity: "a" }, refused: { nickname: "h9", identity: "b" } };
  const text = (kind: string, reporter?: string) =>
    eventOf("warn", "an identity was refused", { kind, name: "02:00:00:00:00:01", reporter, ...claimants })?.text;
  assert.equal(text("name"), "a second machine has the name 02:00:00:00:00:01: h9 is refused, h1 keeps it");
  assert.match(text("clone", H2)!, /^two machines have the identity of .* \(h1\), as copies have it, by the word of /);
});

test("problems are events when they appear, change and end; one that the log has too is reported once", async () => {
  const lines = new Emitter<LogLines>();
  const problems = new Problems();
  problems.set("log", "the disk is full.");
  const reported: EventDraft[] = [];
  const end = collectEvents({ lines, problems, add: (draft) => reported.push(draft) });
  const log = observed(silentLog, (line) => lines.emit("line", line));
  log.warn("the bridge is gone");
  problems.set("bridge", "the bridge is gone.");
  problems.set("bridge", "the bridge is gone.");
  log.warn("the bridge is odd");
  await Promise.resolve();
  problems.clear("bridge");
  problems.clear("bridge");
  assert.deepEqual(
    reported.map(({ kind, subject, text }) => [kind, subject, text]),
    [
      ["problem", "log", "the disk is full."],
      ["problem", "bridge", "the bridge is gone."],
      ["fault", "", "the bridge is odd"],
      ["problem-over", "bridge", "the problem is over: bridge"],
    ],
  );
  end();
  log.error("the router ends", { why: "x" });
  assert.equal(reported.length, 4);
});

test("a problem whose text changes for years takes no memory: only the last texts are compared with the log", async () => {
  const lines = new Emitter<LogLines>();
  const problems = new Problems();
  const reported: EventDraft[] = [];
  collectEvents({ lines, problems, add: (draft) => reported.push(draft) });
  const log = observed(silentLog, (line) => lines.emit("line", line));
  const faults = () => reported.filter(({ kind }) => kind === "fault").map(({ text }) => text);
  for (let lost = 0; lost < 1_000; lost++) problems.set("log", `the disk is full: ${lost} lines are lost`);
  log.warn("the disk is full: 999 lines are lost");
  log.warn("the disk is full: 0 lines are lost");
  await Promise.resolve();
  assert.deepEqual(faults(), ["the disk is full: 0 lines are lost"]);
});

test("a log goes on when its listener fails", () => {
  const written: string[] = [];
  const target = { ...silentLog, warn: (message: string) => void written.push(message) };
  const log = observed(target, () => {
    throw new Error("broken");
  });
  log.warn("a line");
  assert.deepEqual(written, ["a line"]);
});
