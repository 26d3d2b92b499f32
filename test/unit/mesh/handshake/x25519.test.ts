import assert from "node:assert/strict";
import { test } from "node:test";
import nacl from "tweetnacl";
import { diffieHellman } from "#mesh/handshake/noise.js";
import { checkedPublic, x25519 } from "#mesh/handshake/x25519.js";
import { toHex } from "#src/text.js";
import { seededRandom } from "#test/sim/virtual-time.js";

const bytes = (hex: string) => new Uint8Array(Buffer.from(hex, "hex"));

test("X25519 agrees with the vector of RFC 7748, section 5.2", () => {
  const scalar = bytes("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4");
  const point = bytes("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c");
  const expected = "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552";
  assert.equal(toHex(x25519(scalar, point)!), expected);
});

test("X25519 agrees with another implementation for random keys, and for public keys that are no point of the curve", () => {
  const random = seededRandom(7);
  for (let i = 0; i < 100; i++) {
    const [secret, other] = [random.bytes(32), random.bytes(32)];
    assert.deepEqual(checkedPublic(secret), nacl.scalarMult.base(secret));
    assert.deepEqual(x25519(secret, other), nacl.scalarMult(secret, other));
  }
});

test("every public key of low order is refused", () => {
  // All encodings of the points of order 1, 2, 4 and 8 on the curve and its twist (https://cr.yp.to/ecdh.html).
  const points = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "cdeb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b880",
    "4c9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f11d7",
    "d9ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "daffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "dbffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
  ];
  const secret = seededRandom(8).bytes(32);
  for (const point of points) {
    const zero = nacl.scalarMult(secret, bytes(point)).every((byte) => byte === 0);
    assert.equal(x25519(secret, bytes(point)) === undefined, zero, point);
    if (zero) assert.throws(() => diffieHellman(secret, bytes(point)), { code: "WEAVE_HANDSHAKE" }, point);
  }
  assert.ok(points.filter((point) => x25519(secret, bytes(point)) === undefined).length >= 7);
});
