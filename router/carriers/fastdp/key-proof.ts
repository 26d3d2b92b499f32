import { timingSafeEqual } from "node:crypto";
import { hkdf } from "#mesh/handshake/noise.js";
import type { TunnelKey } from "#router/carriers/fastdp/kernel-tunnel.js";

/** Size of a proof in bytes. */
export const KEY_PROOF_BYTES = 32;

/**
 * Proves between the two ends of a connection that each has the secret of the key of WireGuard that it names: a member that names the key of
 * another would keep that one's tunnel from being made, as a key leads to one peer alone. The proof is of the secret that the two keys have
 * in common and of one that the two ends of this connection have: one of another connection, or of the other direction, is none.
 */
export class KeyProof {
  readonly #key: TunnelKey;
  readonly #secret: Uint8Array;
  readonly #isDialler: boolean;

  /** @param secret of the connection, 32 bytes, for this purpose alone */
  constructor(key: TunnelKey, secret: Uint8Array, isDialler: boolean) {
    this.#key = key;
    this.#secret = secret;
    this.#isDialler = isDialler;
  }

  /** The proof that this end sends. @param theirs the other end's public key @throws WEAVE_HANDSHAKE when that is no key */
  make(theirs: Uint8Array): Uint8Array {
    return this.#proofs(theirs)[this.#isDialler ? 0 : 1];
  }

  /** Whether the other end has proven its key. */
  isRight(theirs: Uint8Array, proof: Uint8Array): boolean {
    try {
      return timingSafeEqual(this.#proofs(theirs)[this.#isDialler ? 1 : 0], proof);
    } catch {
      return false;
    }
  }

  close(): void {
    this.#secret.fill(0);
  }

  /** Those of the end that dialled, and of the other one. */
  #proofs(theirs: Uint8Array): Uint8Array[] {
    const shared = this.#key.agree(theirs);
    try {
      return hkdf(this.#secret, shared, 2);
    } finally {
      shared.fill(0);
    }
  }
}
