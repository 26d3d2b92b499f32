/** Records of one neighbour since the start of a thread, by any carrier of records; bytes are those of the sealed records. */
export interface PeerTraffic {
  readonly peer: number;
  recordsSent: number;
  bytesSent: number;
  recordsReceived: number;
  bytesReceived: number;
}

/** Maximum neighbours whose traffic is counted. A further one takes the place of that whose session was opened first. */
const MAX_COUNTED = 1_024;

/** Counts the traffic of each neighbour. The counts outlive a session: a neighbour that returns continues with its own. */
export class TrafficLedger {
  /** In the order in which sessions were opened. */
  readonly #counts = new Map<number, PeerTraffic>();

  /** Returns the counts of a neighbour, which its session increments for each record. Call this when a session opens. */
  of(peer: number): PeerTraffic {
    const counts = this.#counts.get(peer) ?? newTraffic(peer);
    this.#counts.delete(peer);
    if (this.#counts.size >= MAX_COUNTED) this.#counts.delete(this.#counts.keys().next().value!);
    this.#counts.set(peer, counts);
    return counts;
  }

  list(): PeerTraffic[] {
    return [...this.#counts.values()].map((counts) => ({ ...counts }));
  }
}

/** Counts that begin with zero. */
export const newTraffic = (peer: number): PeerTraffic => ({
  peer,
  recordsSent: 0,
  bytesSent: 0,
  recordsReceived: 0,
  bytesReceived: 0,
});
