import { createPrivateKey, createPublicKey, diffieHellman, type KeyObject } from "node:crypto";
import nacl from "tweetnacl";
import { WeaveError } from "#src/errors.js";

/**
 * X25519 (RFC 7748) by OpenSSL, which takes a sixth of the time of an implementation in JavaScript: unauthenticated clients can
 * cause this computation. Keys are imported as JWK (RFC 8037), which takes a fifth of the time of DER.
 */
const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64url");
const okp = { kty: "OKP", crv: "X25519" };

/** The format requires a public key. OpenSSL ignores it, and derives the public key from the secret. */
const ANY_PUBLIC = base64(new Uint8Array(32));

const privateKey = (secret: Uint8Array): KeyObject =>
  createPrivateKey({ key: { ...okp, d: base64(secret), x: ANY_PUBLIC }, format: "jwk" });

/** Computes the public key of 32 secret bytes. */
export function x25519Public(secret: Uint8Array): Uint8Array {
  const { x } = createPublicKey(privateKey(secret)).export({ format: "jwk" });
  return new Uint8Array(Buffer.from(x!, "base64url"));
}

/** Computes the shared secret; undefined for a public key of low order, for which the secret would be zero. */
export function x25519(secret: Uint8Array, publicKey: Uint8Array): Uint8Array | undefined {
  const theirs = createPublicKey({ key: { ...okp, x: base64(publicKey) }, format: "jwk" });
  let shared: Uint8Array;
  try {
    shared = new Uint8Array(diffieHellman({ privateKey: privateKey(secret), publicKey: theirs }));
  } catch {
    // OpenSSL refuses to derive a shared secret of zeros (RFC 7748, section 6.1).
    return undefined;
  }
  return shared.some((byte) => byte !== 0) ? shared : undefined;
}

/**
 * Computes the public key of a long-lived secret, and checks it with a second implementation: a wrong key from a faulty library
 * would lock this host out of its network after the library is repaired.
 *
 * @throws WEAVE_CRYPTO when the two implementations disagree
 */
export function checkedPublic(secret: Uint8Array): Uint8Array {
  const made = x25519Public(secret);
  if (nacl.verify(made, nacl.scalarMult.base(secret))) return made;
  throw new WeaveError("WEAVE_CRYPTO", "OpenSSL computes a wrong X25519 key on this host", {
    next: "Run Node.js with its own OpenSSL, as nodejs.org builds it.",
  });
}
