import { SAFE_DATAGRAMS } from "#router/datapath/session.js";

/** Sizes of records, largest first. Each is used at a loss of datagrams below its bound. */
const LEVELS = [
  { datagrams: 8, below: 0.0018 },
  { datagrams: SAFE_DATAGRAMS, below: 0.006 },
  { datagrams: 1, below: 1 },
] as const;
/** Records grow again only after the loss was below this share of the bound for {@link CALM_MS}. */
const HYSTERESIS = 0.6;
const CALM_MS = 5_000;
/** Datagrams required for a decision: with fewer, a loss of some thousandths is noise. */
const ENOUGH_DATAGRAMS = 3_000;
/** Datagrams required before records grow. A new path that has lost none of them need not wait for {@link CALM_MS}. */
const KNOWN_DATAGRAMS = 20_000;
/** Half-life of a report's weight. */
const HALF_LIFE_MS = 3_000;

/** Records that a peer has received in one session since its last report. */
export interface ArrivalReport {
  /** Records that we sealed. */
  readonly expected: number;
  readonly accepted: number;
  /** Number of datagrams that carried the accepted records. */
  readonly datagrams: number;
}

/**
 * Chooses the number of datagrams in a record to one peer, from the peer's reports of losses. A lost datagram costs its whole
 * record, so large records suit clean paths; small records cost more cipher calls (docs/performance.md).
 *
 * The loss of datagrams decides. The peer counts records. A record of n datagrams arrives when all of them do, so
 * p(datagram) = 1 − (1 − p(record))^(1/n).
 */
export class RecordSize {
  #level = 1;
  #sent = 0;
  #lost = 0;
  #total = 0;
  #at: number;
  /** The time since which the loss is low enough for larger records; undefined: it is not. */
  #calmSince: number | undefined;

  constructor(now: number) {
    this.#at = now;
  }

  get datagrams(): number {
    return LEVELS[this.#level].datagrams;
  }

  /** The fraction of datagrams lost recently, 0 to 1. */
  get loss(): number {
    return this.#sent > 0 ? this.#lost / this.#sent : 0;
  }

  /** Applies a report. True: {@link datagrams} has changed. */
  report({ expected, accepted, datagrams }: ArrivalReport, now: number): boolean {
    if (accepted <= 0 || datagrams < accepted) return false;
    const fade = 0.5 ** ((now - this.#at) / HALF_LIFE_MS);
    this.#at = now;
    const each = datagrams / accepted;
    // Late records, which the previous report counted as lost, can make this greater than one: the loss is then corrected.
    const arrived = accepted / Math.max(expected, 1);
    const sent = Math.max(expected, accepted) * each;
    this.#sent = this.#sent * fade + sent;
    this.#lost = Math.max(0, this.#lost * fade + sent * (1 - arrived ** (1 / each)));
    this.#total += sent;
    return this.#sent >= ENOUGH_DATAGRAMS && this.#decide(now);
  }

  #decide(now: number): boolean {
    const was = this.#level;
    const wanted = LEVELS.findIndex(({ below }) => this.loss < below);
    if (wanted > this.#level) this.#level = wanted;
    if (this.#level === 0 || this.loss >= LEVELS[this.#level - 1].below * HYSTERESIS) this.#calmSince = undefined;
    else {
      this.#calmSince ??= now;
      const calm = now - this.#calmSince >= CALM_MS || (this.#total <= 4 * KNOWN_DATAGRAMS && this.loss === 0);
      if (calm && this.#total >= KNOWN_DATAGRAMS) {
        this.#level--;
        this.#calmSince = undefined;
      }
    }
    return this.#level !== was;
  }
}
