import assert from "node:assert/strict";
import { test } from "node:test";
import { NAME_FORMAT } from "#dns/name-record.js";
import { CLAIM_FORMAT } from "#docker/addresses/claim-record.js";
import type { OriginState, RecordFormat, TextFields } from "#mesh/replica/record-format.js";
import { Replica } from "#mesh/replica/replica.js";
import { ReplicaCodec, type ReplicaMessage } from "#mesh/replica/replica-message.js";
import { silentLog } from "#src/log.js";
import { memoryStore } from "#src/store.js";
import { VirtualClock } from "#test/sim/virtual-time.js";

/**
 * Messages, digests and stored entries as version 0.1.0 of weave made them, before names and claims shared their
 * replicated set: hosts of both versions must understand one another.
 */

const A = "02:00:00:00:00:01";
const B = "02:00:00:00:00:02";

const NAMES = [
  {
    origin: A,
    incarnation: 1_700_000_000_123,
    horizon: 2,
    records: [
      { hostname: "Web.weave.local.", address: "10.32.0.1", ident: "c1", origin: A, version: 3, tombstone: 0 },
      {
        hostname: "db.weave.local.",
        address: "10.32.0.2",
        ident: "c2",
        origin: A,
        version: 300,
        tombstone: 1_700_000_456,
      },
    ],
  },
  { origin: B, incarnation: 7, horizon: 0, records: [] },
];
const held = { hostname: "held.claims.", origin: A, tombstone: 0 } as const;
const CLAIMS = [
  {
    origin: A,
    incarnation: 5,
    horizon: 0,
    records: [
      { ...held, address: "fd00:90::2", ident: "e1", version: 1 },
      { ...held, address: "192.168.7.9", ident: "e2", version: 2 },
    ],
  },
];
const NAMES_BYTES =
  "82a46b696e64a6737461746573a67374617465739284a66f726967696eb130323a30303a30303a30303a30303a3031ab696e6361726e6174696f6e" +
  "cb4278bcfe5687b000a7686f72697a6f6e02a77265636f7264739285a8686f73746e616d65b05765622e77656176652e6c6f63616c2ea761646472" +
  "657373a931302e33322e302e31a56964656e74a26331a776657273696f6e03a9746f6d6273746f6e650085a8686f73746e616d65af64622e776561" +
  "76652e6c6f63616c2ea761646472657373a931302e33322e302e32a56964656e74a26332a776657273696f6ecd012ca9746f6d6273746f6e65ce65" +
  "53f2c884a66f726967696eb130323a30303a30303a30303a30303a3032ab696e6361726e6174696f6e07a7686f72697a6f6e00a77265636f726473" +
  "90";
const CLAIMS_BYTES =
  "82a46b696e64a6737461746573a67374617465739184a66f726967696eb130323a30303a30303a30303a30303a3031ab696e6361726e6174696f6e" +
  "05a7686f72697a6f6e00a77265636f7264739285a8686f73746e616d65ac68656c642e636c61696d732ea761646472657373aa666430303a39303a" +
  "3a32a56964656e74a26531a776657273696f6e01a9746f6d6273746f6e650085a8686f73746e616d65ac68656c642e636c61696d732ea761646472" +
  "657373ab3139322e3136382e372e39a56964656e74a26532a776657273696f6e02a9746f6d6273746f6e6500";

function assertRecorded<F extends TextFields<F>>(format: RecordFormat<F>, message: ReplicaMessage<F>, hex: string) {
  const codec = new ReplicaCodec(format);
  assert.equal(Buffer.from(codec.encode(message)).toString("hex"), hex);
  assert.deepEqual(codec.decode(Buffer.from(hex, "hex")), message);
}

test("digest, summary and want are encoded as recorded", () => {
  const digest = "abcdefghijklmnopqrstuv";
  assertRecorded(
    NAME_FORMAT,
    { kind: "digest", digest },
    "82a46b696e64a6646967657374a6646967657374b66162636465666768696a6b6c6d6e6f70717273747576",
  );
  assertRecorded(
    NAME_FORMAT,
    {
      kind: "summary",
      origins: [
        [A, 1_700_000_000_123, digest],
        [B, 7, "x"],
      ],
    },
    "82a46b696e64a773756d6d617279a76f726967696e739293b130323a30303a30303a30303a30303a3031cb4278bcfe5687b000b6616263646566" +
      "6768696a6b6c6d6e6f7071727374757693b130323a30303a30303a30303a30303a303207a178",
  );
  assertRecorded(
    NAME_FORMAT,
    { kind: "want", origins: [A, B] },
    "82a46b696e64a477616e74a76f726967696e7392b130323a30303a30303a30303a30303a3031b130323a30303a30303a30303a30303a3032",
  );
});

test("names are encoded as recorded", () =>
  assertRecorded(NAME_FORMAT, { kind: "states", states: NAMES }, NAMES_BYTES));

test("claims are encoded as recorded", () =>
  assertRecorded(CLAIM_FORMAT, { kind: "states", states: CLAIMS }, CLAIMS_BYTES));

function assertReplica<F extends TextFields<F>>(
  format: RecordFormat<F>,
  own: F,
  states: readonly OriginState<F>[],
  expected: { prefix: string; key: string; digest: string },
): void {
  const make = (disk: Map<string, unknown>) =>
    new Replica({
      self: "02:00:00:00:00:09",
      incarnation: 9,
      format,
      clock: new VirtualClock(),
      log: silentLog,
      store: memoryStore(disk),
      storePrefix: expected.prefix,
      peers: { reachable: () => new Set([A, B]), nickname: () => undefined, identity: () => undefined },
    });
  const disk = new Map<string, unknown>();
  const replica = make(disk);
  replica.add(own);
  replica.onUnicast(A, new ReplicaCodec(format).encode({ kind: "states", states }));
  assert.equal(replica.digest, expected.digest);
  assert.deepEqual([...disk], [[expected.key, own]]);
  assert.equal(make(new Map<string, unknown>([[expected.key, own]])).own().length, 1);
}

test("digest and stored entry of names are as recorded", () =>
  assertReplica(NAME_FORMAT, { hostname: "own.weave.local.", address: "10.32.0.9", ident: "own" }, NAMES, {
    prefix: "names/",
    key: "names/own.weave.local./10.32.0.9/own",
    digest: "V_ceO8u5c6J7pOrMMhdZ_L",
  }));

test("digest and stored entry of claims are as recorded", () =>
  assertReplica(CLAIM_FORMAT, { hostname: "held.claims.", address: "10.32.0.9", ident: "own" }, CLAIMS, {
    prefix: "claims/own/",
    key: "claims/own/held.claims./10.32.0.9/own",
    digest: "vvHo3-_MAa7Aa3HQTm2l-8",
  }));
