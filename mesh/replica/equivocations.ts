import type { PeerName } from "#mesh/peer.js";
import { type Head, isHeadBy } from "#mesh/replica/head.js";
import type { Verify } from "#mesh/signing.js";
import { limitSize } from "#src/limit-size.js";

/** Two heads of one version with different contents, both signed by their origin: no honest program makes them. */
export interface Proof {
  readonly first: Head;
  readonly second: Head;
}

/** An origin that has signed two contents of one version. */
export interface Equivocation {
  readonly origin: PeerName;
  /** The key that signed both. */
  readonly identity: string;
  readonly incarnation: number;
  readonly version: number;
}

/** Maximum number of proofs that are kept: each has some hundred bytes. */
const MAX_PROOFS = 4_096;

/** Whether an identity has signed both heads of a proof, and they contradict one another. */
export function isProof(verify: Verify, identity: string, set: string, { first, second }: Proof): boolean {
  return (
    first.origin === second.origin &&
    first.incarnation === second.incarnation &&
    first.version === second.version &&
    (first.horizon !== second.horizon || Buffer.compare(first.hash, second.hash) !== 0) &&
    isHeadBy(verify, identity, set, first) &&
    isHeadBy(verify, identity, set, second)
  );
}

/**
 * The proofs of a set. An origin is ignored in the incarnation of its proof and in earlier ones. With a higher incarnation it
 * counts again: a machine that was restored from a snapshot may have repeated its versions without intent. The proof is kept.
 */
export class Equivocations {
  readonly #proofs = new Map<PeerName, Proof & { readonly identity: string }>();

  #count = 0;

  /** @returns false when an equal or later proof of this origin is known */
  add(identity: string, proof: Proof): boolean {
    const { origin, incarnation } = proof.first;
    const known = this.#proofs.get(origin);
    if (known !== undefined && known.identity === identity && known.first.incarnation >= incarnation) return false;
    this.#count++;
    this.#proofs.set(origin, { ...proof, identity });
    limitSize(this.#proofs, MAX_PROOFS);
    return true;
  }

  /** Number of proofs that were added. */
  get count(): number {
    return this.#count;
  }

  get(origin: PeerName): Proof | undefined {
    return this.#proofs.get(origin);
  }

  /** Whether an origin is ignored in an incarnation. */
  covers(origin: PeerName, identity: string, incarnation: number): boolean {
    const proof = this.#proofs.get(origin);
    return proof !== undefined && proof.identity === identity && incarnation <= proof.first.incarnation;
  }

  get list(): Equivocation[] {
    return [...this.#proofs.values()].map(({ first: { origin, incarnation, version }, identity }) => ({
      origin,
      identity,
      incarnation,
      version,
    }));
  }
}
