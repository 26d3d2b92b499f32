import assert from "node:assert/strict";
import { test } from "node:test";
import { isSignedBy, makeSigner, SIGNATURE_BYTES } from "#mesh/signing.js";

const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex, "hex"));

test("the public key is that of RFC 8032, section 7.1", () => {
  const seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
  assert.equal(makeSigner(bytes(seed)).identity, "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
});

test("a signature is valid for its identity, purpose and message alone", () => {
  const signer = makeSigner(new Uint8Array(32).fill(1));
  const message = Buffer.from("message");
  const signature = signer.sign("record-set", message);
  assert.equal(signature.length, SIGNATURE_BYTES);
  assert.ok(isSignedBy(signer.identity, "record-set", message, signature));
  assert.ok(!isSignedBy(signer.identity, "static-key", message, signature));
  assert.ok(!isSignedBy(signer.identity, "record-set", Buffer.from("massage"), signature));
  assert.ok(!isSignedBy(makeSigner(new Uint8Array(32).fill(2)).identity, "record-set", message, signature));
});

test("malformed keys and signatures are invalid, and no error", () => {
  const signer = makeSigner(new Uint8Array(32).fill(1));
  const message = new Uint8Array(0);
  const signature = signer.sign("rekey", message);
  for (const identity of ["", "zz", "f".repeat(64), "0".repeat(64), signer.identity.slice(2)])
    assert.ok(!isSignedBy(identity, "rekey", message, signature), identity);
  for (const wrong of [signature.subarray(1), new Uint8Array(0), new Uint8Array(64), new Uint8Array(65)])
    assert.ok(!isSignedBy(signer.identity, "rekey", message, wrong));
});
