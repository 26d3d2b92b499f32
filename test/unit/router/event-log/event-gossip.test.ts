import assert from "node:assert/strict";
import { test } from "node:test";
import type { PeerName } from "#mesh/peer.js";
import { encodeReplicaMessage, type StateMessage } from "#mesh/replica/replica-message.js";
import { Replicas } from "#mesh/replica/replicas.js";
import { makeSigner } from "#mesh/signing.js";
import type { EventDraft } from "#router/event-log/event.js";
import { EventGossip, isAnnounced } from "#router/event-log/event-gossip.js";
import { EventJournal } from "#router/event-log/event-journal.js";
import { EVENT_KINDS, type EventKind } from "#router/event-log/event-kinds.js";
import { EVENT_FORMAT, type EventFields, SLOTS } from "#router/event-log/event-record.js";
import { silentLog } from "#src/log.js";
import { newsOf } from "#test/sim/gossip-network.js";
import { signedState } from "#test/sim/signed-state.js";
import { seededRandom, VirtualClock } from "#test/sim/virtual-time.js";

/** In memory alone. */
const NO_FILE = { load: () => [], append() {} };

const [H1, H2, MALLORY] = [1, 2, 3].map((index) => `02:00:00:00:00:0${index}`);
const SIGNERS = new Map([H1, H2, MALLORY].map((name, i) => [name, makeSigner(seededRandom(i + 1).bytes(32))]));

/** Two hosts whose gossip arrives at once, and the bytes of it. */
function pair() {
  const clock = new VirtualClock();
  const made = [H1, H2].map((self) => {
    const journal = new EventJournal({ self, file: NO_FILE, clock });
    return { self, journal, replicas: new Replicas(SIGNERS.get(self)!), start: () => started(self, journal) };
  });
  const gossips = new Map<PeerName, EventGossip>();
  const sent: { from: PeerName; bytes: number }[] = [];
  const identity = (peer: PeerName) => SIGNERS.get(peer)?.identity;
  function started(self: PeerName, journal: EventJournal): EventGossip {
    const { replicas } = made.find((each) => each.self === self)!;
    const gossip = new EventGossip({
      ...{ self, incarnation: clock.wall(), journal, clock, replicas, log: silentLog },
      time: () => clock.wall(),
      peers: {
        reachable: () => new Set([H1, H2].filter((each) => each !== self)),
        nickname: (peer) => peer,
        identity,
        pinnedIdentity: identity,
      },
    });
    gossips.set(self, gossip);
    gossip.open({
      unicast: (to, payload) => {
        gossips.get(to)?.gossiper.onUnicast(self, payload, self);
        return true;
      },
      broadcast() {},
      gossip: (payload) => {
        sent.push({ from: self, bytes: payload.length });
        for (const [name, other] of gossips) if (name !== self) newsOf(other.gossiper.onGossip(self, payload, self));
      },
    });
    return gossip;
  }
  const [one, two] = made;
  return { clock, one, two, gossips, sent };
}

const draft = (kind: EventKind, subject = "", severity: EventDraft["severity"] = "warning"): EventDraft => ({
  kind,
  severity,
  subject,
  text: `${kind} ${subject}`.trim(),
});

const textsAt = ({ journal }: { readonly journal: EventJournal }) => journal.after("").map(({ text }) => text);

test("what one host sees alone is reported to others, with its origin; what many see is not", async () => {
  const { clock, one, two, sent } = pair();
  one.start();
  two.start();
  await clock.run(1_000);
  sent.length = 0;
  one.journal.add(draft("problem", "log"));
  one.journal.add(draft("link-down", "h9"));
  one.journal.add(draft("peer-unreachable", "h9"));
  await clock.run(1_000);
  assert.deepEqual(textsAt(two), ["problem log"]);
  const [{ id, peer, time }] = two.journal.after("");
  const own = one.journal.own()[0];
  assert.deepEqual([id, peer, time], [own.id, H1, own.time]);
  const announcements = sent.filter(({ from }) => from === H1);
  assert.ok(announcements.length === 1 && announcements[0].bytes < 250, JSON.stringify(sent));
});

test("each kind is announced or not, for a reason that does not depend on what peers say", () => {
  const kinds = (Object.keys(EVENT_KINDS) as EventKind[]).filter((kind) => isAnnounced({ kind, severity: "warning" }));
  assert.deepEqual(kinds, [
    "started",
    "stopped",
    "refused",
    "takeover",
    "attachment",
    "docker",
    "problem",
    "problem-over",
  ]);
  assert.ok(isAnnounced({ kind: "fault", severity: "error" }));
});

test("a host in trouble announces little: some at once, the rest together, and only the last ones", async () => {
  const { clock, one, two, sent } = pair();
  one.start();
  two.start();
  await clock.run(1_000);
  sent.length = 0;
  for (let i = 0; i < 100; i++) {
    one.journal.add(draft("problem", String(i)));
    await clock.run(100);
  }
  assert.ok(sent.length <= 5, `${sent.length} messages`);
  await clock.run(120_000);
  assert.ok(sent.length <= 6, `${sent.length} messages`);
  assert.equal(textsAt(two).at(-1), "problem 99");
  assert.ok(textsAt(two).length <= 4 + SLOTS);
});

test("strangers whose connections are refused keep no other event of the host from the network", async () => {
  const { clock, one, two } = pair();
  one.start();
  two.start();
  await clock.run(1_000);
  // Each address of a machine is another subject.
  const flood = (from: number) => {
    for (let i = from; i < from + 50; i++) one.journal.add(draft("refused", `127.0.0.${i}`));
  };
  flood(0);
  one.journal.add(draft("takeover", "h9"));
  flood(50);
  await clock.run(300_000);
  assert.ok(textsAt(two).includes("takeover h9"), textsAt(two).join(", "));
});

test("a stop is announced at once, also after many other events", async () => {
  const { clock, one, two, gossips } = pair();
  one.start();
  two.start();
  for (let i = 0; i < 20; i++) one.journal.add(draft("problem", String(i)));
  await clock.run(50);
  one.journal.add(draft("stopped", "", "info"));
  gossips.get(H1)!.flush();
  await clock.run(50);
  assert.equal(textsAt(two).at(-1), "stopped");
});

test("the events of the last day are announced again after a restart, and known ones are not reported twice", async () => {
  const { clock, one, two } = pair();
  one.journal.add(draft("problem", "old"));
  await clock.run(25 * 3_600_000);
  one.journal.add(draft("problem", "new"));
  two.start();
  one.start().stop();
  await clock.run(1_000);
  assert.deepEqual(textsAt(two), ["problem new"]);
  await clock.run(1_000);
  one.start();
  await clock.run(1_000);
  assert.deepEqual(textsAt(two), ["problem new"]);
});

/** What a hostile peer, which knows the password, signs. */
function fields(more: Partial<EventFields>): EventFields {
  const common = { slot: 0, number: 1, time: 1_700_000_000_000, kind: "problem", severity: 1, subject: "" };
  return { ...common, text: "a problem", ...more };
}

async function afterHostile(...records: readonly EventFields[]) {
  const { clock, one, gossips } = pair();
  const gossip = one.start();
  const state: StateMessage = signedState(
    EVENT_FORMAT,
    SIGNERS.get(MALLORY)!,
    { origin: MALLORY, incarnation: clock.wall(), version: records.length },
    records,
  );
  gossip.gossiper.onGossip(MALLORY, encodeReplicaMessage({ kind: "states", states: [state] }), MALLORY);
  await clock.run(100);
  assert.equal(gossips.size, 1);
  return { events: one.journal.after(""), rejections: one.replicas.rejections.total };
}

test("a hostile peer's events are its own, visible, of the past, and of known kinds", async () => {
  const text = `\u001B[2J\u0007${"<script>"}\u202E`;
  const { events } = await afterHostile(
    fields({ text, subject: "\u0000h1\n", time: 2 ** 48 }),
    fields({ slot: 1, number: 2, kind: "__proto__", severity: 2 }),
  );
  const [first, second] = events;
  assert.deepEqual([first.peer, first.text, first.subject], [MALLORY, "?[2J?<script>?", "?h1"]);
  assert.ok(first.time <= 1_700_000_000_100, "no event is of the future");
  assert.deepEqual([second.kind, second.severity], ["other", "error"]);
});

test("states with too many, too long or malformed events are rejected as a whole", async () => {
  const bad: EventFields[][] = [
    [fields({}), fields({ slot: SLOTS, number: 2 })],
    [fields({ text: "x".repeat(241) })],
    [fields({ subject: "x".repeat(81) })],
    [fields({ kind: "x".repeat(33) })],
    [fields({ severity: 3 })],
    [fields({ number: -1 })],
    [fields({ time: 2 ** 49 })],
    [fields({ number: 1.5 })],
    [fields({ text: 5 as never })],
  ];
  for (const records of bad) {
    const { events, rejections } = await afterHostile(...records);
    assert.deepEqual([events, rejections], [[], 1], JSON.stringify(records));
  }
});

test("one slot holds one event: a peer has at most a fixed number of them in the set", async () => {
  const many = Array.from({ length: SLOTS }, (_, slot) => fields({ slot, number: slot + 1 }));
  assert.equal((await afterHostile(...many)).events.length, SLOTS);
  const twice = await afterHostile(fields({}), fields({ number: 2 }));
  assert.deepEqual([twice.events, twice.rejections], [[], 1]);
});
