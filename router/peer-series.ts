import type { Sample } from "#router/service.js";

/** The value of the label that names the peer, of the series for all peers without one of their own. No peer has this name: names are MACs. */
export const OTHER_PEERS = "others";

/** A value of one peer, and its further labels. */
export interface PeerSample {
  readonly peer: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Maximum peers whose last value is remembered, for each counter: more than a peer connects to. */
const MAX_REMEMBERED = 4_096;

/** The counter of the peers without series of their own. */
interface Rest {
  sum: number;
  /** The last value of each peer, in the order of the scrapes. */
  readonly last: Map<string, number>;
}

/**
 * Bounds the series of metrics with a label that names a peer: a network of a thousand hosts would have a thousand of each at each host. The first
 * `limit` peers have series of their own, as long as they are known; all others share one. A peer keeps its series while others come
 * and go.
 */
export class PeerSeries {
  readonly #limit: number;
  readonly #label: string;
  readonly #own = new Set<string>();
  readonly #rests = new Map<string, Rest>();
  #leftOut = 0;

  /**
   * @param limit maximum peers with series of their own
   * @param label the label that names the peer
   */
  constructor(limit: number, label = "peer") {
    this.#limit = limit;
    this.#label = label;
  }

  /** Number of peers that share a series. */
  get leftOut(): number {
    return this.#leftOut;
  }

  /** Chooses the peers with series of their own. Call this once for each scrape. */
  choose(peers: readonly string[]): void {
    const known = new Set(peers);
    for (const peer of this.#own) if (!known.has(peer)) this.#own.delete(peer);
    for (const peer of known) if (this.#own.size < this.#limit) this.#own.add(peer);
    this.#leftOut = known.size - this.#own.size;
  }

  /** The samples of the peers with series of their own. */
  own(samples: readonly PeerSample[]): Sample[] {
    return samples
      .filter(({ peer }) => this.#own.has(peer))
      .map(({ peer, labels, value }) => ({ labels: { [this.#label]: peer, ...labels }, value }));
  }

  /** The samples of a gauge. @param combine how the shared series is computed from the values of its peers */
  gauge(samples: readonly PeerSample[], combine: "sum" | "largest"): Sample[] {
    const rest = new Map<string, { labels: Sample["labels"]; value: number }>();
    for (const { labels = {}, value } of this.#without(samples)) {
      const key = JSON.stringify(labels);
      const shared = rest.get(key);
      if (shared === undefined) rest.set(key, { labels: { [this.#label]: OTHER_PEERS, ...labels }, value });
      else shared.value = combine === "sum" ? shared.value + value : Math.max(shared.value, value);
    }
    return [...this.own(samples), ...rest.values()];
  }

  /**
   * The samples of a counter. The shared series sums what its peers' counters have grown by: it does not fall when a peer leaves it, and
   * does not jump when one comes.
   *
   * @param name the metric's
   */
  counter(name: string, samples: readonly PeerSample[]): Sample[] {
    const shared = new Map<Rest, Sample["labels"]>();
    for (const { peer, labels = {}, value } of samples) {
      const rest = this.#rest(`${name} ${JSON.stringify(labels)}`);
      const before = rest.last.get(peer) ?? 0;
      rest.last.delete(peer);
      rest.last.set(peer, value);
      if (rest.last.size > MAX_REMEMBERED) rest.last.delete(rest.last.keys().next().value!);
      if (this.#own.has(peer)) continue;
      rest.sum += Math.max(0, value - before);
      shared.set(rest, { [this.#label]: OTHER_PEERS, ...labels });
    }
    return [...this.own(samples), ...[...shared].map(([{ sum }, labels]) => ({ labels, value: sum }))];
  }

  #without(samples: readonly PeerSample[]): PeerSample[] {
    return samples.filter(({ peer }) => !this.#own.has(peer));
  }

  #rest(key: string): Rest {
    const rest = this.#rests.get(key) ?? { sum: 0, last: new Map<string, number>() };
    this.#rests.set(key, rest);
    return rest;
  }
}
