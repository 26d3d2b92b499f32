import { createPrivateKey, createPublicKey, diffieHellman, type KeyObject } from "node:crypto";
import nacl from "tweetnacl";
import { WeaveError } from "#src/errors.js";

/**
 * X25519 (RFC 7748) by OpenSSL: unauthenticated clients make us compute it, and it takes a sixth of the time of JavaScript.
 * Keys are imported as JWK (RFC 8037), which takes a fifth of the time of DER.
 */
const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64url");
const okp = { kty: "OKP", crv: "X25519" };

/** The format requires a public part; OpenSSL derives it from the secret and ignores this one. */
const ANY_PUBLIC = base64(new Uint8Array(32));

const privateKey = (secret: Uint8Array): KeyObject =>
  createPrivateKey({ key: { ...okp, d: base64(secret), x: ANY_PUBLIC }, format: "jwk" });

/** The public key of 32 secret bytes. */
export function x25519Public(secret: Uint8Array): Uint8Array {
  const { x } = createPublicKey(privateKey(secret)).export({ format: "jwk" });
  return new Uint8Array(Buffer.from(x!, "base64url"));
}

/** The shared secret; undefined when the public key is one of the few of low order, with which it would be zero. */
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
 * The public key of a secret that is kept for years, checked by a second implementation: a key of a faulty library would lock
 * this host out of its network after the library is repaired.
 *
 * @throws WEAVE_CRYPTO when the two disagree
 */
export function checkedPublic(secret: Uint8Array): Uint8Array {
  const made = x25519Public(secret);
  if (nacl.verify(made, nacl.scalarMult.base(secret))) return made;
  throw new WeaveError("WEAVE_CRYPTO", "OpenSSL computes a wrong X25519 key on this host", {
    next: "Run Node.js with its own OpenSSL, as nodejs.org builds it.",
  });
}
