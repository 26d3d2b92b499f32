import type { PeerName } from "#mesh/peer.js";
import type { Acknowledgement } from "#mesh/rekey/wire.js";
import type { Signer, Verify } from "#mesh/signing.js";
import { limitSize } from "#src/limit-size.js";

/** Members that are awaited at most: twice as many as a network has, because some leave meanwhile. */
const MAX_AWAITED = 8_192;

/** A peer of the network, with the identity that signs its acknowledgement. */
export interface Member {
  readonly name: PeerName;
  readonly nickname: string;
  readonly identity: string;
}

/** Signs the statement that this peer uses the secret of an order. */
export function acknowledge(order: string, signer: Signer): Acknowledgement {
  return { identity: signer.identity, order, signature: signer.sign("rekey", acknowledgedBytes(order)) };
}

/** Whether a peer itself has acknowledged. */
export function isAcknowledged({ identity, order, signature }: Acknowledgement, verify: Verify): boolean {
  return verify(identity, "rekey", acknowledgedBytes(order), signature);
}

const acknowledgedBytes = (order: string): Uint8Array => Buffer.from(`have 1 ${order}`);

/** The acknowledgements of the order in force, and the peers that are awaited. */
export class Acknowledgements {
  #order = "";
  readonly #received = new Map<string, Acknowledgement>();
  readonly #awaited = new Map<string, Member>();

  /** Id of the order; empty: none. */
  get order(): string {
    return this.#order;
  }

  /** Begins with an order. */
  begin(order: string): void {
    this.#order = order;
    this.#received.clear();
    this.#awaited.clear();
  }

  /** Awaits a member from now on. */
  await(member: Member): void {
    this.#awaited.set(member.identity, member);
    limitSize(this.#awaited, MAX_AWAITED);
  }

  /** No longer awaits a peer: it is excluded. */
  drop(identity: string): void {
    this.#awaited.delete(identity);
    this.#received.delete(identity);
  }

  /** Whether an acknowledgement would be a new one, of an awaited member. It is not yet verified. */
  isNew({ identity, order }: Acknowledgement): boolean {
    return order === this.#order && this.#awaited.has(identity) && !this.#received.has(identity);
  }

  /** Records a verified acknowledgement. */
  add(acknowledgement: Acknowledgement): void {
    this.#received.set(acknowledgement.identity, acknowledgement);
  }

  /** The acknowledgements of the given peers that are known. */
  of(identities: readonly string[]): Acknowledgement[] {
    return identities.flatMap((identity) => this.#received.get(identity) ?? []);
  }

  /** Awaited members without an acknowledgement. */
  lacking(): Member[] {
    return [...this.#awaited.values()].filter(({ identity }) => !this.#received.has(identity));
  }

  /** Number of awaited members. */
  get awaited(): number {
    return this.#awaited.size;
  }
}
