import assert from "node:assert/strict";
import { test } from "node:test";
import type { PeerIdentity } from "#mesh/peer.js";
import { makeSigner, type Signer } from "#mesh/signing.js";
import { MAX_EXCLUDED_IDENTITIES } from "#mesh/trust/exclusions.js";
import { fingerprint, sameFingerprint } from "#mesh/trust/fingerprint.js";
import { MAX_PINS } from "#mesh/trust/pins.js";
import { retire } from "#mesh/trust/retirement.js";
import { memoryTrustStore, type TrustStore } from "#mesh/trust/store.js";
import { Trust } from "#mesh/trust/trust.js";
import { VirtualClock } from "#test/sim/virtual-time.js";

const hex = (value: number, digits: number) => value.toString(16).padStart(digits, "0");
const nameOf = (i: number) => `02:00:00:00:${hex(i >> 8, 2)}:${hex(i & 255, 2)}`;
const SELF = { name: "02:ff:00:00:00:01", identity: "e".repeat(64) };

/** A peer with an identity that has no key, in any number. */
function peer(i: number, identity = hex(i + 1, 64)): PeerIdentity {
  return { name: nameOf(i), nickname: `h${i}`, identity, key: "0".repeat(64), uid: hex(i, 16), incarnation: 1 };
}

const signed = (i: number, signer: Signer) => peer(i, signer.identity);
const signerOf = (i: number) => makeSigner(new Uint8Array(32).fill(i));

function open(store: TrustStore = memoryTrustStore(), clock = new VirtualClock()) {
  return { trust: new Trust({ self: SELF, clock, store }), store, clock };
}

test("a name is pinned at first sight, and keeps its identity through a restart and while its peer is away", async () => {
  const { trust, store, clock } = open();
  assert.equal(trust.judge(peer(1)), "new");
  trust.pin(peer(1), true);
  trust.present([peer(1)]);
  assert.equal(trust.judge(peer(1)), "trusted");
  assert.equal(trust.judge(peer(1, "f".repeat(64))), "pinned-elsewhere");
  trust.pin(peer(1, "f".repeat(64)));
  assert.equal(trust.identityOf(nameOf(1)), peer(1).identity, "a refused identity changes nothing");
  await clock.run(3_600_000);
  trust.present([]);
  trust.flush();
  const later = open(store, clock).trust;
  assert.equal(later.judge(peer(1, "f".repeat(64))), "pinned-elsewhere");
  const [pin] = later.list();
  assert.deepEqual([pin.name, pin.nickname, pin.direct, pin.state], [nameOf(1), "h1", true, "away"]);
  assert.equal(pin.lastSeen - pin.firstSeen, 3_600_000);
});

test("its own name is this peer's alone", () => {
  const { trust } = open();
  assert.equal(trust.judge({ ...peer(1), name: SELF.name }), "pinned-elsewhere");
  assert.equal(trust.judge({ ...peer(1), ...SELF }), "trusted");
  trust.pin({ ...peer(1), name: SELF.name });
  assert.equal(trust.identityOf(SELF.name), SELF.identity);
  trust.exclude(SELF.identity);
  assert.equal(trust.judge({ ...peer(1), ...SELF }), "trusted");
});

test("invented names displace neither pins of peers that were met, nor those seen for longer, nor reachable ones", async () => {
  const { trust, clock } = open();
  trust.pin(peer(1), true);
  trust.pin(peer(2));
  trust.present([peer(1), peer(2)]);
  await clock.run(60_000);
  trust.present([]);
  trust.pin(peer(3));
  trust.present([peer(3)]);
  for (let i = 10; i < 10 + 2 * MAX_PINS; i++) trust.pin(peer(i));
  assert.deepEqual(
    [1, 2, 3].map((i) => trust.judge(peer(i))),
    ["trusted", "trusted", "trusted"],
  );
  assert.equal(trust.list().length, MAX_PINS + 1);
});

test("sessions in any number displace only pins of sessions that lasted shorter", async () => {
  const { trust, clock } = open();
  trust.pin(peer(1), true);
  trust.present([peer(1)]);
  await clock.run(60_000);
  trust.present([]);
  for (let i = 10; i < 10 + MAX_PINS + 50; i++) trust.pin(peer(i), true);
  assert.equal(trust.judge(peer(1)), "trusted");
  assert.equal(trust.list().length, MAX_PINS);
});

test("a renamed peer has both names, up to four; another identity gets none of them", () => {
  const { trust } = open();
  const identity = peer(1).identity;
  for (let i = 1; i <= 6; i++) trust.pin(peer(i, identity), true);
  assert.equal(trust.list().length, 4);
  assert.equal(trust.judge(peer(6, identity)), "trusted");
  assert.equal(trust.judge(peer(6, "f".repeat(64))), "pinned-elsewhere");
});

test("forget takes a name, a nickname or a fingerprint, and the next identity is pinned", () => {
  const { trust, store } = open();
  trust.pin(peer(1), true);
  for (const who of [nameOf(1), "h1", fingerprint(peer(1).identity), fingerprint(peer(1).identity).toLowerCase()])
    assert.deepEqual(
      trust.find(who).map(({ name }) => name),
      [nameOf(1)],
      who,
    );
  assert.deepEqual(trust.find("h2"), []);
  assert.equal(trust.forget(nameOf(1)), true);
  assert.equal(trust.forget(nameOf(1)), false);
  trust.flush();
  assert.equal(open(store).trust.judge(peer(1, "f".repeat(64))), "new");
});

test("an exclusion and a retirement survive a crash at the next moment, and no exclusion gives way to others", () => {
  const { trust, store, clock } = open();
  const signer = signerOf(7);
  trust.pin(signed(7, signer), true);
  trust.exclude(peer(2).identity);
  assert.equal(trust.retire(retire(signed(7, signer), signer, 5)), "taken");
  const later = open(store, clock).trust;
  assert.equal(later.judge(peer(2)), "excluded");
  assert.notEqual(later.judge(signed(7, signer)), "trusted");
  for (let i = 0; i < MAX_EXCLUDED_IDENTITIES + 10; i++) later.exclude(hex(i + 10, 64));
  assert.equal(later.judge(peer(2)), "excluded");
});

test("an excluded identity is refused under every name until it is included or forgotten, also after a restart", () => {
  const { trust, store } = open();
  const revoked: string[] = [];
  trust.events.on("revoked", (identity) => revoked.push(identity));
  trust.pin(peer(1), true);
  const { identity } = peer(1);
  trust.exclude(identity);
  trust.exclude(identity);
  assert.deepEqual(revoked, [identity]);
  trust.flush();
  const later = open(store).trust;
  assert.equal(later.judge(peer(2, identity)), "excluded");
  assert.equal(later.judge(peer(1, "f".repeat(64))), "pinned-elsewhere", "its name is still its own");
  assert.equal(later.list()[0].state, "excluded");
  assert.equal(later.forget(nameOf(1)), true);
  assert.equal(later.judge(peer(1)), "new");
  for (let i = 0; i < MAX_EXCLUDED_IDENTITIES + 10; i++) later.exclude(hex(i + 1, 64));
  assert.equal(later.excluded().length, MAX_EXCLUDED_IDENTITIES);
});

test("a retirement frees the name, and its identity is never accepted again; only the identity itself can retire", () => {
  const { trust, store } = open();
  const [old, other] = [signerOf(1), signerOf(2)];
  trust.pin(signed(1, old), true);
  const retirement = retire(peer(1), old, 5);
  assert.equal(trust.retire(retire(peer(2), other, 5)), "unknown");
  assert.equal(trust.retire({ ...retirement, signature: other.sign("retirement", Buffer.from("x")) }), "forged");
  assert.equal(trust.retire({ ...retirement, at: 6 }), "forged");
  assert.equal(trust.judge(signed(1, old)), "trusted");
  assert.equal(trust.retire(retirement), "taken");
  assert.equal(trust.retire(retirement), "known");
  assert.equal(trust.judge(signed(1, other)), "new");
  trust.pin(signed(1, other), true);
  trust.flush();
  const later = open(store).trust;
  assert.equal(later.judge(signed(1, old)), "retired");
  assert.equal(later.judge(signed(3, old)), "retired");
  assert.equal(later.forget(nameOf(1)), true);
  assert.equal(later.judge(signed(1, old)), "retired");
  assert.equal(later.judge(signed(1, other)), "new");
});

test("a conflict ends a quarter of an hour after the last refusal, however long it has lasted", async () => {
  const { trust, clock } = open();
  trust.pin(peer(1), true);
  const refuse = () => trust.refused(peer(1, "f".repeat(64)));
  refuse();
  await clock.run(59_000);
  refuse();
  await clock.run(14.5 * 60_000);
  assert.equal(trust.conflicts.list().length, 1, "the second refusal counts, which was not reported");
  await clock.run(60_000);
  assert.deepEqual(trust.conflicts.list(), []);
});

test("a refused identity is a conflict until it has another name, or the operator forgets", async () => {
  const { trust, clock } = open();
  const noted: string[] = [];
  trust.events.on("conflict", ({ name, refused }) => noted.push(`${name} ${refused.nickname}`));
  trust.pin(peer(1), true);
  const twin = { ...peer(1, "f".repeat(64)), nickname: "twin" };
  for (let i = 0; i < 10; i++) trust.refused(twin);
  assert.deepEqual(noted, [`${nameOf(1)} twin`], "one report for repeated refusals");
  assert.equal(trust.list()[0].state, "conflict");
  trust.pin({ ...twin, name: nameOf(2) }, true);
  assert.deepEqual(trust.conflicts.list(), []);
  await clock.run(60_000);
  trust.refused({ ...peer(1, "d".repeat(64)) });
  assert.equal(trust.conflicts.list().length, 1);
  for (let i = 0; i < 1_000; i++) trust.refused({ ...peer(1, hex(i + 99, 64)) });
  assert.equal(trust.conflicts.list().length, 1, "invented identities do not fill the screen");
  trust.forget(nameOf(1));
  assert.deepEqual(trust.conflicts.list(), []);
});

test("a run that returns after a later one proves a copy; a restart does not", () => {
  const { trust } = open();
  const run = (uid: string) => trust.isCopy({ ...peer(1), uid });
  assert.deepEqual(["a", "b", "c"].map(run), [false, false, false]);
  assert.deepEqual(trust.conflicts.list(), []);
  assert.equal(run("b"), false, "it was there first");
  assert.deepEqual(
    trust.conflicts.list().map(({ kind }) => kind),
    ["clone"],
  );
  assert.equal(run("c"), true);
  assert.equal(run("d"), false, "the first machine has restarted");
  assert.equal(run("c"), true);
});

test("records of two machines supersede each other again and again; that of a run before a restart does so once", () => {
  const { trust } = open();
  const record = (uid: string) => trust.sawRecord({ ...peer(1), uid });
  // In a session with run b, the record of run a comes first: the clock was set back.
  trust.isCopy({ ...peer(1), uid: "b" });
  for (const uid of ["b", "a", "b", "b", "c", "d", "c"]) record(uid);
  assert.deepEqual(trust.conflicts.list(), []);
  record("d");
  assert.deepEqual(
    trust.conflicts.list().map(({ kind }) => kind),
    ["clone"],
  );
  assert.equal(trust.isCopy({ ...peer(1), uid: "b" }), false, "no session was refused");
});

test("a fingerprint has six groups that people can compare, of any case", () => {
  const text = fingerprint("0".repeat(64));
  assert.match(text, /^([0-9A-HJKMNP-TV-Z]{4}-){5}[0-9A-HJKMNP-TV-Z]{4}$/);
  assert.ok(sameFingerprint(text.toLowerCase().replace(/-/g, ""), "0".repeat(64)));
  assert.ok(!sameFingerprint(text, "1".repeat(64)));
  const all = new Set(Array.from({ length: 1_000 }, (_, i) => fingerprint(hex(i, 64))));
  assert.equal(all.size, 1_000);
});
