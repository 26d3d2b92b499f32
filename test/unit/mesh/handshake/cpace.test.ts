import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { CpaceGenerator, generatorString, joinWithLengths, multiplyVerified } from "#mesh/handshake/cpace.js";
import { toHex } from "#src/text.js";
import { seededRandom } from "#test/sim/virtual-time.js";

/** The draft's vectors for ristretto255 and SHA-512 (appendix B.3), and those of its string functions (appendix A). */
const vectors = JSON.parse(
  readFileSync(new URL("../../../../../test/unit/mesh/handshake/vectors/cpace.json", import.meta.url), "utf8"),
);
const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex, "hex"));
const context = { password: bytes(vectors.PRS), channel: bytes(vectors.CI), session: bytes(vectors.sid) };

test("lengths and lists are encoded as the draft's vectors", () => {
  for (const [input, output] of vectors.prependLength as [string, string][]) {
    const data = input.startsWith("@")
      ? Uint8Array.from({ length: Number(input.slice(1)) }, (_, i) => i)
      : bytes(input);
    const expected = input.startsWith("@") ? output + toHex(data) : output;
    assert.equal(toHex(joinWithLengths(data)), expected);
  }
  const { inputs, output } = vectors.joinWithLengths;
  assert.equal(toHex(joinWithLengths(...inputs.map(bytes))), output);
});

test("the generator string completes its first block with zeros, and gives the draft's generator", () => {
  const text = generatorString(context.password, context.channel, context.session);
  assert.equal(text.length, 168 + 4);
  // The channel begins after the first block of SHA-512.
  assert.equal(toHex(text.subarray(128, 128 + 1 + 26)), `1a${vectors.CI}`);
  assert.equal(createHash("sha512").update(text).digest("hex"), vectors.hash);
  assert.equal(toHex(new CpaceGenerator(context).bytes), vectors.g);
  // A password that is longer than the block gets no padding.
  const long = generatorString(new Uint8Array(200), context.channel, context.session);
  assert.equal(long.length, 18 + 202 + 1 + 27 + 17);
});

test("shares and the key of an exchange are those of the draft, at both ends", () => {
  const generator = new CpaceGenerator(context);
  const [a, b] = [vectors.ya, vectors.yb].map((scalar) => generator.begin({ bytes: () => bytes(scalar) }));
  assert.deepEqual([toHex(a.share), toHex(b.share)], [vectors.Ya, vectors.Yb]);
  assert.equal(toHex(multiplyVerified(bytes(vectors.ya), b.share)!), vectors.K);
  assert.equal(toHex(multiplyVerified(bytes(vectors.yb), a.share)!), vectors.K);
  const transcript = {
    initiatorShare: a.share,
    initiatorData: bytes(vectors.ADa),
    responderShare: b.share,
    responderData: bytes(vectors.ADb),
  };
  assert.equal(toHex(a.finish(b.share, transcript)), vectors.ISK);
  assert.equal(toHex(b.finish(a.share, transcript)), vectors.ISK);
});

test("multiplication agrees with the draft, and yields no result for what is no element, and for the identity", () => {
  const { s, X, result } = vectors.multiply;
  assert.equal(toHex(multiplyVerified(bytes(s), bytes(X))!), result);
  for (const invalid of Object.values<string>(vectors.invalid))
    assert.equal(multiplyVerified(bytes(s), bytes(invalid)), undefined);
  for (const wrongSize of ["", "00", `${X}00`]) assert.equal(multiplyVerified(bytes(s), bytes(wrongSize)), undefined);
  assert.equal(multiplyVerified(new Uint8Array(32), bytes(X)), undefined);
});

test("an exchange is aborted for an invalid share, the identity element, and this end's own share", () => {
  const generator = new CpaceGenerator(context);
  const run = (theirs: Uint8Array | undefined) => {
    const exchange = generator.begin(seededRandom(1));
    const share = theirs ?? exchange.share;
    const transcript = {
      initiatorShare: exchange.share,
      initiatorData: share,
      responderShare: share,
      responderData: share,
    };
    return () => exchange.finish(share, transcript);
  };
  for (const theirs of [...Object.values<string>(vectors.invalid).map(bytes), undefined])
    assert.throws(run(theirs), { code: "WEAVE_HANDSHAKE" });
});

test("another password, channel, session or transcript gives another key", () => {
  const other = Uint8Array.of(1);
  const a = (data: Uint8Array) => keyOf(new CpaceGenerator(context), new CpaceGenerator(context), data);
  const changes = [{ password: other }, { channel: other }, { session: other }];
  const changed = changes.map((change) =>
    keyOf(new CpaceGenerator(context), new CpaceGenerator({ ...context, ...change }), other),
  );
  const keys = [a(other), a(context.channel), ...changed];
  assert.equal(a(other), keys[0]);
  assert.equal(new Set(keys).size, keys.length);
});

/** The responder's key, with equal scalars for equal arguments. */
function keyOf(initiator: CpaceGenerator, responder: CpaceGenerator, data: Uint8Array): string {
  const [a, b] = [initiator.begin(seededRandom(1)), responder.begin(seededRandom(2))];
  const shares = { initiatorShare: a.share, responderShare: b.share };
  return toHex(b.finish(a.share, { ...shares, initiatorData: data, responderData: new Uint8Array(0) }));
}

test("the scalar of an exchange is zeroed after its use, and when the exchange is abandoned", () => {
  const share = bytes(vectors.Yb);
  const transcript = { initiatorShare: share, initiatorData: share, responderShare: share, responderData: share };
  for (const end of ["finish", "wipe"] as const) {
    const scalar = bytes(vectors.ya);
    const exchange = new CpaceGenerator(context).begin({ bytes: () => scalar });
    assert.ok(scalar.some((byte) => byte !== 0));
    exchange[end](share, transcript);
    assert.ok(scalar.every((byte) => byte === 0));
    assert.throws(() => exchange.finish(share, transcript), { code: "WEAVE_HANDSHAKE" });
  }
});
