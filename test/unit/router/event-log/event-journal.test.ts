import assert from "node:assert/strict";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type EventDraft, eventId, eventNumber, eventText, type NetworkEvent } from "#router/event-log/event.js";
import { MAX_OWN_EVENTS, MAX_PEER_EVENTS } from "#router/event-log/event-document.js";
import { EventFile } from "#router/event-log/event-file.js";
import { EventFolding } from "#router/event-log/event-folding.js";
import { EventJournal, MAX_EVENTS_EACH } from "#router/event-log/event-journal.js";
import { FairRing } from "#router/event-log/fair-ring.js";
import { VirtualClock } from "#test/sim/virtual-time.js";

const SELF = "02:00:00:00:00:01";
const folder = mkdtempSync(join(tmpdir(), "weave-events-"));
process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
let files = 0;
const newPath = () => join(folder, `${files++}.jsonl`);

const draft = (subject: string, kind: EventDraft["kind"] = "fault", text = `of ${subject}`): EventDraft => ({
  kind,
  severity: "warning",
  subject,
  text,
});

const announced = (peer: string, number: number, text = `event ${number}`): NetworkEvent => ({
  id: eventId(peer, number),
  time: number,
  peer,
  kind: "problem",
  severity: "warning",
  subject: "",
  text,
});

const peerName = (index: number) =>
  `02:00:00:00:${(index >> 8).toString(16).padStart(2, "0")}:${(index & 255).toString(16).padStart(2, "0")}`;

function start(path: string, clock = new VirtualClock(), problems: (string | undefined)[] = []) {
  const file = new EventFile(path, clock, (problem) => problems.push(problem));
  return { journal: new EventJournal({ self: SELF, file, clock }), clock, problems };
}

const textsOf = (events: readonly NetworkEvent[]) => events.map(({ text }) => text);

test("a ring drops the oldest item of the key that has most, so that a flood displaces nothing of others", () => {
  const ring = new FairRing<string>(5, 3);
  ring.add("rare", "r1");
  for (const item of ["f1", "f2", "f3", "f4"]) ring.add("flood", item);
  assert.deepEqual([ring.of("flood"), ring.size], [["f2", "f3", "f4"], 4], "at most three of one key");
  for (const item of ["o1", "o2"]) ring.add("other", item);
  assert.deepEqual([ring.of("rare"), ring.of("flood"), ring.of("other")], [["r1"], ["f3", "f4"], ["o1", "o2"]]);
  assert.deepEqual([ring.size, ring.all().length, ring.of("none")], [5, 5, []]);
});

test("the first events of a kind and subject pass, later ones are reported as one with their number", async () => {
  const clock = new VirtualClock();
  const reported: EventDraft[] = [];
  const folding = new EventFolding(clock, (each) => reported.push(each));
  for (let i = 0; i < 1_000; i++) folding.add(draft("h2", "link-down", `cut ${i}`));
  folding.add(draft("h3", "link-down", "another link"));
  assert.deepEqual(
    reported.map(({ text }) => text),
    ["cut 0", "cut 1", "cut 2", "another link"],
  );
  await clock.run(61_000);
  assert.equal(reported.at(-1)?.text, "997 times: cut 999");
  assert.equal(folding.folded, 997);
  await clock.run(600_000);
  assert.equal(reported.length, 5, "what was reported is not reported again");
  folding.add(draft("h2", "link-down", "cut later"));
  assert.equal(reported.at(-1)?.text, "cut later", "after a pause it is news again");
});

test("a flood of different subjects is bounded for its kind, and hides no other kind", async () => {
  const clock = new VirtualClock();
  const reported: EventDraft[] = [];
  const folding = new EventFolding(clock, (each) => reported.push(each));
  for (let i = 0; i < 5_000; i++) folding.add(draft(`10.0.0.${i}`, "refused"));
  folding.add(draft("", "takeover", "addresses were taken over"));
  assert.equal(reported.length, 201);
  assert.equal(reported.at(-1)?.text, "addresses were taken over");
  await clock.run(60_000);
  assert.deepEqual(reported.slice(201), [
    { ...draft("", "refused"), text: "4800 more of this kind, the last: of 10.0.0.4999" },
  ]);
});

test("events survive the end of the process, in order and with numbers that go on", () => {
  const path = newPath();
  const first = start(path);
  first.journal.add(draft("a"));
  first.journal.receive(announced("02:00:00:00:00:02", 5));
  first.journal.add(draft("b"));
  const second = start(path);
  assert.deepEqual(second.journal.after(""), first.journal.after(""));
  assert.deepEqual(textsOf(second.journal.after("")), ["of a", "event 5", "of b"]);
  second.journal.add(draft("c"));
  const numbers = second.journal.own().map(eventNumber);
  assert.ok(numbers[0] < numbers[1] && numbers[1] < numbers[2], String(numbers));
  second.journal.receive(announced("02:00:00:00:00:02", 5));
  second.journal.receive(announced("02:00:00:00:00:02", 4));
  assert.equal(second.journal.after("").length, 4, "known ones are not taken again");
  assert.equal(statSync(path).mode & 0o777, 0o600);
});

test("a host that has lost its file goes on with higher numbers", async () => {
  const clock = new VirtualClock();
  const path = newPath();
  const first = start(path, clock);
  for (let i = 0; i < 50; i++) first.journal.add(draft(`a${i}`));
  rmSync(path);
  await clock.run(1_000);
  const second = start(path, clock);
  second.journal.add(draft("b"));
  assert.ok(eventNumber(second.journal.own()[0]) > eventNumber(first.journal.own()[49]));
});

test("damaged lines and a torn end are left out, and nothing is lost behind them", () => {
  const path = newPath();
  const line = { peer: SELF, number: 3, time: 4, kind: "started", severity: "info", subject: "", text: "whole" };
  const lines = [
    "",
    "null",
    "[]",
    "\u0000\u0000",
    JSON.stringify({ ...line, peer: "x" }),
    JSON.stringify({ ...line, number: -1 }),
    JSON.stringify({ ...line, severity: "loud" }),
    JSON.stringify({ ...line, text: 5 }),
    JSON.stringify(line),
    JSON.stringify({ ...line, number: 4, kind: "of a later version", text: `\u001B]0;x\u0007${"y".repeat(10_000)}` }),
  ];
  writeFileSync(path, `${lines.join("\n")}\n{"peer":"${SELF}","num`);
  const { journal, problems } = start(path);
  const [whole, later] = journal.own();
  assert.deepEqual([journal.own().length, whole.text, later.kind, later.text.length], [2, "whole", "other", 240]);
  assert.match(later.text, /^\?\]0;x\?y/);
  journal.add(draft("new"));
  assert.deepEqual(textsOf(start(path).journal.own()), [whole.text, later.text, "of new"]);
  assert.deepEqual(problems, [undefined]);
  appendFileSync(path, Buffer.alloc(8 << 20, 0xff));
  assert.deepEqual(start(path).journal.own(), [], "only the end of a huge file is read");
});

test("a file that cannot be written is a problem; the events stay in memory, and the file has them later", async () => {
  const missing = join(folder, "missing");
  const path = join(missing, "events.jsonl");
  const { journal, problems, clock } = start(path);
  journal.add(draft("a"));
  assert.match(String(problems.at(-1)), /^events cannot be kept in .*events\.jsonl: ENOENT/);
  assert.deepEqual(textsOf(journal.recent(9)), ["of a"]);
  mkdirSync(missing);
  journal.add(draft("b"));
  assert.deepEqual([problems.length, existsSync(path)], [1, false], "it is tried again after a pause");
  await clock.run(10_000);
  journal.add(draft("c"));
  assert.equal(problems.at(-1), undefined);
  assert.deepEqual(textsOf(start(path).journal.own()), ["of a", "of b", "of c"]);
  const usable = newPath();
  const second = start(usable);
  second.journal.add(draft("a"));
  rmSync(usable);
  writeFileSync(usable, "");
  second.journal.add(draft("b"));
  assert.deepEqual(textsOf(start(usable).journal.own()), ["of b"], "another program's file is added to");
});

test("memory and file are bounded, whatever happens here and whatever peers announce", async () => {
  const path = newPath();
  const { journal, clock } = start(path);
  const text = "漢".repeat(240);
  for (let peer = 2; peer < 2_500; peer++) journal.receive(announced(peerName(peer), 1, text));
  for (let number = 2; number < 1_000; number++) journal.receive(announced(peerName(2), number, text));
  for (let i = 0; i < 3_000; i++) {
    journal.add({ kind: "refused", severity: "warning", subject: `${i}`, text });
    if (i % 100 === 0) await clock.run(60_000);
  }
  const { own, others, folded, excess } = journal.sizes;
  assert.ok(own <= MAX_OWN_EVENTS && others <= MAX_PEER_EVENTS, `${own} ${others}`);
  assert.ok(folded > 0 && excess > 0);
  const ofOne = journal.recent(9_999).filter(({ peer }) => peer === peerName(2));
  assert.ok(ofOne.length <= MAX_EVENTS_EACH);
  assert.ok(statSync(path).size <= 8 << 20, `${statSync(path).size} bytes`);
  assert.ok(readFileSync(path, "utf8").endsWith("\n"));
});

test("the last events are in the order of time; those after one are in the order of arrival", async () => {
  const { journal, clock } = start(newPath());
  await clock.run(10_000);
  journal.add(draft("here"));
  journal.receive(announced(peerName(2), 1, "long ago"));
  assert.deepEqual(textsOf(journal.recent(2)), ["long ago", "of here"]);
  assert.deepEqual(textsOf(journal.recent(1)), ["of here"]);
  assert.deepEqual(journal.recent(0), []);
  assert.deepEqual(textsOf(journal.after(journal.own()[0].id)), ["long ago"]);
});

test("a text is one line of visible characters", () => {
  assert.equal(eventText("  a\r\n\tb\u001B[31m\u202E\u0000c  "), "a b?[31m??c");
  assert.equal(eventText("x".repeat(10_000_000)).length, 240);
  assert.equal(eventText(`${"x".repeat(238)}😀y`), `${"x".repeat(238)}?…`, "no half of a character");
});
