import type { PeerName } from "#mesh/peer.js";
import type { Equivocation } from "#mesh/replica/equivocations.js";
import { type BudgetShare, MemoryBudget } from "#mesh/replica/memory-budget.js";
import { type RecordRejections, recordRejections } from "#mesh/replica/rejections.js";
import type { Signer } from "#mesh/signing.js";

/** Shares of the memory of all sets, in estimated bytes. Their sum is that of a `MemoryBudget`. */
export const SET_BYTES = {
  topology: 40 << 20,
  names: 24 << 20,
  tasks: 10 << 20,
  claims: 6 << 20,
  macs: 8 << 20,
  events: 4 << 20,
} as const;

/** What the set of all replicas of a process asks of each. */
interface Member {
  readonly equivocations: readonly Equivocation[];
  /** Number of live records of all peers. */
  readonly size: number;
  peersChanged(): void;
  revoke(identity: string): void;
  forget(peer: PeerName): void;
}

/** An equivocation, and the set in which it was found. */
export interface SetEquivocation extends Equivocation {
  /** Name of the set. */
  readonly set: string;
}

/** What all replicated sets of a process have in common: the identity that signs, the memory, and the counts of what is rejected. */
export class Replicas {
  readonly signer: Signer;
  readonly rejections: RecordRejections = recordRejections();
  readonly #budget = new MemoryBudget();
  readonly #shares: BudgetShare[] = [];
  readonly #members = new Map<string, Member>();

  constructor(signer: Signer) {
    this.signer = signer;
  }

  /** Adds a set. @param bytes its share of the memory @throws RangeError when less is left */
  add(name: string, member: Member, bytes: number): BudgetShare {
    const share = this.#budget.share(bytes);
    this.#shares.push(share);
    this.#members.set(name, member);
    return share;
  }

  /** Estimated memory of all sets in bytes. */
  get usedBytes(): number {
    return this.#shares.reduce((sum, { used }) => sum + used, 0);
  }

  /** Number of live records of each set. */
  get sizes(): { readonly set: string; readonly records: number }[] {
    return [...this.#members].map(([set, { size }]) => ({ set, records: size }));
  }

  /** Origins that have signed two contents of one version, in any set. */
  get equivocations(): SetEquivocation[] {
    return [...this.#members].flatMap(([set, { equivocations }]) => equivocations.map((each) => ({ ...each, set })));
  }

  /** Drops what an identity has signed, in all sets: it is not accepted any more. */
  revoke(identity: string): void {
    for (const member of this.#members.values()) member.revoke(identity);
  }

  /** Drops the records of a peer that was unreachable for long, in all sets. The peer sends them again when it returns. */
  forget(peer: PeerName): void {
    for (const member of this.#members.values()) member.forget(peer);
  }

  /** More peers are known: records that arrived before their peers are requested again. */
  peersChanged(): void {
    for (const member of this.#members.values()) member.peersChanged();
  }
}
