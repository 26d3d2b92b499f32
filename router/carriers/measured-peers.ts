import type { PeerName } from "#mesh/peer.js";
import type { SessionCounts, SessionFigures } from "#router/carriers/peer-session.js";

/** Maximum neighbours without a session whose counts are kept. A further one takes the place of that whose session ended first. */
const MAX_KEPT = 1_024;

/** What this needs of a session. */
interface MeasuredSession {
  readonly peer: PeerName;
  figures(): SessionFigures;
}

const NOTHING: SessionCounts = {
  carrierChanges: 0,
  rekeys: 0,
  sentExpected: 0,
  sentArrived: 0,
  receivedExpected: 0,
  receivedArrived: 0,
};

/** Sums the counts of all sessions of each neighbour: a counter of a metric must not fall when a connection ends. */
export class MeasuredPeers {
  /** Counts of ended sessions, in the order of their ends. */
  readonly #ended = new Map<PeerName, SessionCounts>();

  /** Keeps the counts of a session that has ended. */
  ended(session: MeasuredSession): void {
    const { peer } = session;
    const sum = sumOf(this.#ended.get(peer) ?? NOTHING, session.figures().counts);
    this.#ended.delete(peer);
    if (this.#ended.size >= MAX_KEPT) this.#ended.delete(this.#ended.keys().next().value!);
    this.#ended.set(peer, sum);
  }

  /** @param sessions those that are open */
  figures(sessions: Iterable<MeasuredSession>): Map<PeerName, SessionFigures> {
    const all = new Map<PeerName, SessionFigures>();
    for (const [peer, counts] of this.#ended)
      all.set(peer, { carrier: undefined, carriers: [], roundTripMs: undefined, counts });
    // Two sessions of one neighbour overlap for a moment, when one connection replaces another.
    for (const session of sessions) {
      const figures = session.figures();
      all.set(session.peer, { ...figures, counts: sumOf(all.get(session.peer)?.counts ?? NOTHING, figures.counts) });
    }
    return all;
  }
}

const sumOf = (a: SessionCounts, b: SessionCounts): SessionCounts => ({
  carrierChanges: a.carrierChanges + b.carrierChanges,
  rekeys: a.rekeys + b.rekeys,
  sentExpected: a.sentExpected + b.sentExpected,
  sentArrived: a.sentArrived + b.sentArrived,
  receivedExpected: a.receivedExpected + b.receivedExpected,
  receivedArrived: a.receivedArrived + b.receivedArrived,
});
