import type { Clock } from "#src/clock.js";
import { limitSize } from "#src/limit-size.js";
import { RateLimiter } from "#src/rate-limiter.js";

/** Wrong passwords of a source that cost it nothing: an operator mistypes, and peers try earlier secrets. */
const FREE = 5;
/** Pause of a source after each further wrong password: it doubles up to `lastMs`, which allows 2,880 guesses a day. */
const PAUSE = { firstMs: 1_000, lastMs: 30_000 };
/** The longest pause of an address of which a peer is known: another process of that host may send the wrong passwords. */
const PAUSE_KNOWN_MS = 2_000;
/**
 * Wrong passwords of all unknown sources, beyond which unknown sources are slowed together: 17,280 a day. Sources without a wrong
 * password have a rate of their own, so that a new peer gets in: an attacker needs a new address for each of these guesses.
 */
const ALL = { perSecond: 0.2, burst: 60 };
const NEWCOMERS = { perSecond: 1, burst: 10 };
/** Number of sources and of addresses that are remembered. */
const REMEMBERED = 4_096;
/** Time without a wrong password after which those of a source are forgotten. */
const FORGET_MS = 3_600_000;

/** The wrong passwords of one source. */
export interface WrongPasswords {
  /** IPv4 address, or IPv6 network of a site. */
  readonly source: string;
  readonly count: number;
  /** Monotonic time of the first one, and of the last one. */
  readonly since: number;
  readonly last: number;
}

interface Entry {
  count: number;
  since: number;
  last: number;
  /** Until then the source's handshakes are refused. */
  pausedUntil: number;
}

/** The key of the one bucket of a limiter for all sources together. */
const TOGETHER = "";

/**
 * Counts wrong passwords by source, and slows the sources of them. A proof by CPace tests one password, so that the rate of
 * handshakes is the rate of guesses. Memory is bounded.
 */
export class PasswordGuesses {
  readonly #clock: Clock;
  readonly #sources = new Map<string, Entry>();
  readonly #all: RateLimiter;
  readonly #newcomers: RateLimiter;
  /** Whether the last wrong password of an unknown source was beyond {@link ALL}, and until when that applies. */
  #crowdedUntil = 0;
  #total = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#all = new RateLimiter(clock, ALL);
    this.#newcomers = new RateLimiter(clock, NEWCOMERS);
  }

  /** Number of wrong passwords since the start. */
  get total(): number {
    return this.#total;
  }

  /** Whether the handshake of a source may begin now. It must be asked once for each handshake. @param known a peer was there */
  admit(source: string, known: () => boolean): boolean {
    const now = this.#clock.now();
    const entry = this.#entry(source);
    if (entry === undefined) return now >= this.#crowdedUntil || known() || this.#newcomers.admit(TOGETHER);
    if (entry.count < FREE) return now >= this.#crowdedUntil || known();
    if (now < entry.pausedUntil) return false;
    const trusted = known();
    if (!trusted && now < this.#crowdedUntil) return false;
    // The pause begins now, not with the wrong password: no source has several guesses under way.
    entry.pausedUntil = now + pauseOf(entry.count, trusted);
    return true;
  }

  /** Records a wrong password. @returns those of the source */
  failed(source: string, known: boolean): WrongPasswords {
    const now = this.#clock.now();
    this.#total++;
    const entry = this.#entry(source) ?? { count: 0, since: now, last: now, pausedUntil: 0 };
    entry.count++;
    entry.last = now;
    if (entry.count >= FREE) entry.pausedUntil = Math.max(entry.pausedUntil, now + pauseOf(entry.count, known));
    this.#sources.delete(source);
    this.#sources.set(source, entry);
    limitSize(this.#sources, REMEMBERED);
    if (!known && !this.#all.admit(TOGETHER)) this.#crowdedUntil = now + 1_000 / ALL.perSecond;
    return { source, count: entry.count, since: entry.since, last: now };
  }

  /** Records that a peer of a source has proven the password. */
  succeeded(source: string): void {
    this.#sources.delete(source);
  }

  /** Returns the wrong passwords by source, those of the latest source last. */
  list(): WrongPasswords[] {
    const now = this.#clock.now();
    return [...this.#sources]
      .filter(([, { last }]) => now - last < FORGET_MS)
      .map(([source, { count, since, last }]) => ({ source, count, since, last }));
  }

  #entry(source: string): Entry | undefined {
    const entry = this.#sources.get(source);
    if (entry === undefined || this.#clock.now() - entry.last < FORGET_MS) return entry;
    this.#sources.delete(source);
    return undefined;
  }
}

function pauseOf(count: number, known: boolean): number {
  const doubled = PAUSE.firstMs * 2 ** Math.min(10, count - FREE);
  return Math.min(doubled, known ? PAUSE_KNOWN_MS : PAUSE.lastMs);
}
