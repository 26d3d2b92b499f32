import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import * as z from "zod/mini";
import { limitSize } from "#src/limit-size.js";

/** Bytes of a signature (RFC 8032). */
export const SIGNATURE_BYTES = 64;
/** A signature in a message. */
export const signatureShape = z
  .instanceof(Uint8Array<ArrayBufferLike>)
  .check(z.refine((bytes) => (bytes as Uint8Array).length === SIGNATURE_BYTES));
/** Bytes of the secret from which an identity's key pair is computed. */
export const SEED_BYTES = 32;
/** Public keys that stay imported: an import takes a fifteenth of a verification. More than a network has peers. */
const IMPORTED = 8_192;

/** What a signature is for. It is part of the signed bytes: no signature is valid for another purpose. */
export type Purpose =
  | "static-key"
  | "record-set"
  | "ipam-transfer"
  | "ipam-agreement"
  | "rekey"
  | "retirement"
  | "conflict"
  | "return-path";

/** Checks a signature: whether an identity has signed a message for a purpose. */
export type Verify = (identity: string, purpose: Purpose, message: Uint8Array, signature: Uint8Array) => boolean;

/** The identity of this peer, which signs what it says, and checks what others say. */
export interface Signer {
  /** Ed25519 public key, 64 hexadecimal digits. */
  readonly identity: string;
  /** Signs a message. @returns {@link SIGNATURE_BYTES} bytes */
  sign(purpose: Purpose, message: Uint8Array): Uint8Array;
  /** As {@link isSignedBy}, and counts. */
  readonly verify: Verify;
  /** Number of signatures that {@link verify} has checked: where no time passes, it is what a message has cost. */
  readonly verified: number;
}

/**
 * Makes a signer by Ed25519 (RFC 8032), with keys imported as JWK (RFC 8037).
 *
 * @param seed {@link SEED_BYTES} random bytes, the secret of the identity
 */
export function makeSigner(seed: Uint8Array): Signer {
  const privateKey = createPrivateKey({ key: { ...OKP, d: base64(seed), x: ANY_PUBLIC }, format: "jwk" });
  const { x } = createPublicKey(privateKey).export({ format: "jwk" });
  let verified = 0;
  return {
    identity: Buffer.from(x!, "base64url").toString("hex"),
    sign: (purpose, message) => new Uint8Array(sign(null, signedBytes(purpose, message), privateKey)),
    verify(identity, purpose, message, signature) {
      if (signature.length === SIGNATURE_BYTES) verified++;
      return isSignedBy(identity, purpose, message, signature);
    },
    get verified() {
      return verified;
    },
  };
}

/** Whether an identity has signed a message for a purpose. False also for a malformed key or signature. */
export function isSignedBy(identity: string, purpose: Purpose, message: Uint8Array, signature: Uint8Array): boolean {
  if (signature.length !== SIGNATURE_BYTES) return false;
  try {
    return verify(null, signedBytes(purpose, message), publicKey(identity), signature);
  } catch {
    return false;
  }
}

const OKP = { kty: "OKP", crv: "Ed25519" };
const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64url");
/** The format requires a public key. OpenSSL ignores it, and derives the public key from the secret. */
const ANY_PUBLIC = base64(new Uint8Array(32));

/** Returns what is signed: the purpose, a zero byte (no purpose contains one), and the message. */
function signedBytes(purpose: Purpose, message: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`weave ${purpose}\0`), message]);
}

/** Imported keys by identity. A key does not change: the cache has no state that a caller could see. */
const imported = new Map<string, KeyObject>();

function publicKey(identity: string): KeyObject {
  let key = imported.get(identity);
  if (key === undefined) {
    key = createPublicKey({ key: { ...OKP, x: base64(Buffer.from(identity, "hex")) }, format: "jwk" });
    imported.set(identity, key);
    limitSize(imported, IMPORTED);
  }
  return key;
}
