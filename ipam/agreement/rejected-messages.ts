import { limitSize } from "#src/limit-size.js";

/** Maximum number of pairs of source and reason that are counted; the one that was counted least recently is dropped. */
const MAX_PAIRS = 1_024;

/** Why something that a peer has sent is not used. */
export type MessageFault =
  /** An ownership without a signature, which no peer has decided. */
  | "unsigned"
  /** The signature is not that of the peer in whose name it is. */
  | "forged"
  /** The peer had a ring that this one does not follow from: two decisions about one ownership. */
  | "contradiction"
  /** A takeover of a peer that lives. */
  | "living peer"
  /** The steps from the known owner to the claimed one are missing, and no peer sends them. */
  | "no title"
  /** Votes that are not signed by their voters, or with rounds far above all others. */
  | "vote"
  /** A ring of another origin, which too few of its peers confirm. */
  | "other ring"
  /** More requests than a share. */
  | "too many requests";

/** Counts rejected data of other peers, by reason and source. It never ends a connection. */
export class RejectedMessages {
  readonly #counts = new Map<string, number>();
  /** The neighbour whose message is handled: it is certain, and the peer that the message names is not. */
  neighbour: string | undefined;

  /** @param source the peer that the data is said to come from; the neighbour counts while its message is handled */
  note(reason: MessageFault, source: string, times = 1): void {
    const key = `${this.neighbour ?? source} ${reason}`;
    const count = (this.#counts.get(key) ?? 0) + times;
    this.#counts.delete(key);
    this.#counts.set(key, count);
    limitSize(this.#counts, MAX_PAIRS);
  }

  /** Number of rejections by source and reason. */
  get all(): { source: string; reason: string; count: number }[] {
    return [...this.#counts].map(([key, count]) => {
      const at = key.indexOf(" ");
      return { source: key.slice(0, at), reason: key.slice(at + 1), count };
    });
  }
}
