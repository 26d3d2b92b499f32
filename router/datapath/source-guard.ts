/**
 * For this time after the routes have changed, a neighbour may still relay frames of the peers that it was on a shortest path to: such
 * frames are on their way, and other peers may know the change later.
 */
export const FORMER_ROUTE_MS = 10_000;
/**
 * For this time a neighbour may relay frames of a peer without a known route: the other peers may know a change of the routes before us.
 * Nothing is learned from these frames, so that they attract no others.
 */
export const UNPROVEN_MS = 5_000;
/** Time from the begin of one such period until the next one of the same neighbour and source. */
export const UNPROVEN_AGAIN_MS = 60_000;
/** Maximum sources of one neighbour without a known route at a time. A network of more peers knows its routes before. */
export const MAX_UNPROVEN = 256;

export type SourceVerdict = "proven" | "unproven" | "refused";

/** What a neighbour has sent in the name of peers to which it is on no shortest path. */
export interface SourceClaims {
  readonly neighbour: number;
  /** The peer that was claimed last. */
  readonly source: number;
  /** Records that were delivered, and of which nothing was learned. */
  readonly unproven: number;
  /** Records that were dropped. */
  readonly refused: number;
}

/**
 * The peers whose frames one neighbour may send us: its own, and those of the peers that it is strictly nearer to than we are, over links
 * that both ends report. The source of a record is not authenticated otherwise: relays open and seal records.
 *
 * Times are in milliseconds on a monotonic clock.
 */
export class SourceGuard {
  readonly #neighbour: number;
  /** For each source the end of its permission; infinity while the routes have it. */
  readonly #until = new Map<number, number>();
  /** For each source without a known route the begin of its period. */
  readonly #unproven = new Map<number, number>();
  readonly #counts = { unproven: 0, refused: 0 };
  #claimed = 0;

  constructor(neighbour: number) {
    this.#neighbour = neighbour;
  }

  /** Replaces the routes. @param sources the peers that the neighbour is nearer to than we are */
  update(sources: readonly number[], now: number): void {
    for (const [source, until] of this.#until)
      if (until === Number.POSITIVE_INFINITY) this.#until.set(source, now + FORMER_ROUTE_MS);
    for (const source of sources) {
      this.#until.set(source, Number.POSITIVE_INFINITY);
      this.#unproven.delete(source);
    }
    this.expire(now);
  }

  /** Judges a record that claims to come from `source`. */
  judge(source: number, now: number): SourceVerdict {
    if (source === this.#neighbour) return "proven";
    const until = this.#until.get(source);
    if (until !== undefined && until > now) return "proven";
    this.#claimed = source;
    const verdict = this.#withoutRoute(source, now) ? "unproven" : "refused";
    this.#counts[verdict]++;
    return verdict;
  }

  /** Forgets what has ended. */
  expire(now: number): void {
    for (const [source, until] of this.#until) if (until <= now) this.#until.delete(source);
    for (const [source, since] of this.#unproven) if (now - since >= UNPROVEN_AGAIN_MS) this.#unproven.delete(source);
  }

  /** Whether a new guard would judge the same. */
  get isEmpty(): boolean {
    return this.#until.size === 0 && this.#unproven.size === 0;
  }

  /** What the neighbour has claimed without a route; undefined: nothing. */
  get claims(): SourceClaims | undefined {
    if (this.#counts.unproven + this.#counts.refused === 0) return undefined;
    return { neighbour: this.#neighbour, source: this.#claimed, ...this.#counts };
  }

  #withoutRoute(source: number, now: number): boolean {
    const since = this.#unproven.get(source);
    if (since !== undefined && now - since < UNPROVEN_AGAIN_MS) return now - since < UNPROVEN_MS;
    if (this.#unproven.size >= MAX_UNPROVEN) return false;
    this.#unproven.set(source, now);
    return true;
  }
}

/** The guards of all neighbours. They outlive sessions: a neighbour that connects again has the same routes. */
export class SourceGuards {
  readonly #guards = new Map<number, SourceGuard>();

  /** The guard of a neighbour. */
  of(neighbour: number): SourceGuard {
    let guard = this.#guards.get(neighbour);
    if (guard === undefined) {
      guard = new SourceGuard(neighbour);
      this.#guards.set(neighbour, guard);
    }
    return guard;
  }

  /** Replaces the routes. @param relays for each neighbour the peers that it is nearer to than we are */
  update(relays: ReadonlyMap<number, readonly number[]>, now: number): void {
    for (const [neighbour, sources] of relays) this.of(neighbour).update(sources, now);
    for (const [neighbour, guard] of this.#guards) if (!relays.has(neighbour)) guard.update([], now);
  }

  /** Forgets what has ended. @param inUse neighbours with sessions, whose guards stay */
  expire(now: number, inUse: ReadonlySet<number>): void {
    for (const [neighbour, guard] of this.#guards) {
      guard.expire(now);
      if (guard.isEmpty && !inUse.has(neighbour)) this.#guards.delete(neighbour);
    }
  }

  claims(): SourceClaims[] {
    return [...this.#guards.values()].flatMap(({ claims }) => claims ?? []);
  }
}
