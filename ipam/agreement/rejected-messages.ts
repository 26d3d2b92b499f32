import type { PeerName } from "#mesh/peer.js";
import { Rejections } from "#mesh/rejections.js";

const FAULTS = [
  /** An ownership without a signature, which no peer has decided. */
  "unsigned",
  /** The signature is not that of the peer in whose name it is. */
  "forged",
  /** The peer had a ring that this one does not follow from: two decisions about one ownership. */
  "contradiction",
  /** A takeover of a peer that lives. */
  "living peer",
  /** The steps from the known owner to the claimed one are missing, and no peer sends them. */
  "no title",
  /** Votes that are not signed by their voters, or with rounds far above all others. */
  "vote",
  /** A ring of another origin, which too few of its peers confirm. */
  "other ring",
  /** More requests than a share. */
  "too many requests",
  /** Addresses that a peer says to hold, and has never owned. */
  "not its own",
] as const;

/** Why something that a peer has sent is not used. */
export type MessageFault = (typeof FAULTS)[number];

/** Faults of which honest peers cause some, too: by delay, when networks join, and while they wait for space. */
const HARMLESS: readonly MessageFault[] = ["no title", "other ring", "too many requests"];

/** Counts rejected data of other peers, by reason and source. It never ends a connection. */
export class RejectedMessages {
  readonly #rejections = new Rejections<MessageFault>(FAULTS, HARMLESS);
  /** The neighbour whose message is handled: it is certain, and the peer that the message names is not. */
  neighbour: PeerName | undefined;

  /** @param source the peer that the data is said to come from; the neighbour counts while its message is handled */
  note(reason: MessageFault, source: PeerName): void {
    this.noteSigner(reason, this.neighbour ?? source);
  }

  /** @param signer the peer that has signed the data, and not the neighbour that sent it */
  noteSigner(reason: MessageFault, signer: PeerName): void {
    this.#rejections.add(reason, signer);
  }

  /** Number of each reason that no honest peer causes. */
  get harmful(): readonly { readonly reason: MessageFault; readonly count: number }[] {
    return this.#rejections.harmful;
  }

  /** Number of all rejections that no honest peer causes. */
  get total(): number {
    return this.#rejections.total;
  }

  /** Number of rejections by source and reason. */
  get all(): { source: PeerName; reason: MessageFault; count: number }[] {
    return [...this.#rejections.byNeighbour].flatMap(([source, counts]) =>
      FAULTS.filter((reason) => counts[reason] > 0).map((reason) => ({ source, reason, count: counts[reason] })),
    );
  }
}
