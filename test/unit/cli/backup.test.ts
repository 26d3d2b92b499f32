import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { type BackupBody, decodeBackup, encodeBackup } from "#cli/backup/backup-file.js";
import { checkedState } from "#cli/backup/state.js";
import { encode } from "#src/codec.js";
import { WeaveError } from "#src/errors.js";

const PEER = "02:00:00:00:00:01";
const head = { peer: PEER, machine: "9f00", time: "2026-01-01T00:00:00.000Z" };
const identity: [string, unknown][] = [
  ["format", 1],
  ["incarnation", 1_764_140_400_000],
  ["peername", PEER],
  ["secret", new Uint8Array(32).fill(7)],
];
const body: BackupBody = { database: [...identity, ["ipam/lease/a", { container: "a", leases: ["10.32.0.1/12"] }]] };
const good = encodeBackup(head, body);

/** A backup with a valid checksum and any content. */
const forged = (first: unknown, content: unknown): Buffer => {
  const bytes = Buffer.concat([Buffer.from(`${JSON.stringify(first)}\n`), encode(content)]);
  return Buffer.concat([bytes, createHash("sha256").update(bytes).digest()]);
};
const firstLine = { weave: "backup", format: 1, version: "0.1.0", ...head };
const restored = (bytes: Buffer) => checkedState("b", decodeBackup(bytes, "b").body, "/state/weave");

test("a backup contains what was put in, and its first line describes it", () => {
  const { head: read, body: content } = decodeBackup(good, "b");
  assert.equal(read.peer, PEER);
  assert.deepEqual(
    JSON.parse(JSON.stringify(content.database)),
    JSON.parse(JSON.stringify(body.database.map(([k, v]) => [k, v instanceof Uint8Array ? Buffer.from(v) : v]))),
  );
  assert.match(good.toString("latin1").split("\n")[0], /^\{"weave":"backup","format":1,"version":"/);
});

test("every truncation and every changed byte is rejected, with the name of the file", () => {
  for (let length = 0; length < good.length; length++)
    assert.throws(() => decodeBackup(good.subarray(0, length), "the file"), {
      code: "WEAVE_BACKUP",
      message: /the file/,
    });
  fc.assert(
    fc.property(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
      const bytes = Buffer.from(good);
      bytes[at] ^= change;
      assert.throws(() => decodeBackup(bytes, "b"), { code: "WEAVE_BACKUP" });
    }),
  );
});

test("random bytes, and random content with a valid checksum, are rejected with words", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 4_096 }), (bytes) => {
      assert.throws(() => decodeBackup(Buffer.from(bytes), "b"), { code: "WEAVE_BACKUP" });
    }),
  );
  fc.assert(
    fc.property(fc.anything(), (content) => {
      assert.throws(() => restored(forged(firstLine, content)), WeaveError);
    }),
  );
});

test("a later format of the backup or of the database is rejected, and names the version that made it", () => {
  assert.throws(
    () => decodeBackup(forged({ ...firstLine, format: 2, version: "9.0.0" }, body), "b"),
    /format 2, made by weave "9\.0\.0"/,
  );
  const later = { database: [...identity.slice(1), ["format", 2], ["writer", "9.0.0"]] };
  assert.throws(
    () => restored(forged(firstLine, later)),
    /the database in b was written by weave 9\.0\.0, in format 2/,
  );
});

test("a state without an identity, or with launch options that are none, is rejected", () => {
  for (const missing of ["secret", "peername", "incarnation"])
    assert.throws(() => restored(forged(firstLine, { database: identity.filter(([key]) => key !== missing) })), {
      code: "WEAVE_BACKUP",
    });
  for (const [key, value] of [
    ["secret", new Uint8Array(31)],
    ["peername", "x; reboot"],
    ["incarnation", -1],
  ] as const)
    assert.throws(
      () =>
        restored(forged(firstLine, { database: identity.map((entry) => (entry[0] === key ? [key, value] : entry)) })),
      { code: "WEAVE_BACKUP" },
    );
  for (const text of ["{", "[]", "3", '{"options":{"port":0},"given":[]}'])
    assert.throws(() => restored(forged(firstLine, { ...body, kept: text })), { code: "WEAVE_BACKUP" }, text);
});

test("the last launch is adapted to the place of the database", () => {
  const { last } = checkedState(
    "b",
    { ...body, last: '{"dbPrefix":"/elsewhere/weave","nickname":"h1"}' },
    "/state/weave",
  );
  assert.deepEqual(JSON.parse(last!), { dbPrefix: "/state/weave", nickname: "h1" });
});
