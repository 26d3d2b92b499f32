import { z } from "zod/mini";
import type { LeaseTable } from "#ipam/allocation/lease-table.js";
import { compareGenesis, type Ownership, Ring, type Span } from "#ipam/ring/ring.js";
import { Space } from "#ipam/ring/space.js";
import { type Surroundings, unixSeconds } from "#ipam/surroundings.js";
import { MAX_SPANS, ringFromWire, ringShape, ringToWire } from "#ipam/wire/ipam-message.js";
import { successor } from "#mesh/counter.js";
import { WeaveError } from "#src/errors.js";
import { readStored } from "#src/store.js";

const KEY = "ipam/ring";
/** Own neighbours that differ only in their history are made one when there are so many: not for each gift. */
const TIDY_FROM = 4;

const shape = z.object({ name: z.string(), range: z.string(), ...ringShape.shape });

/**
 * The ring as this peer knows it. What we decide is written to disk, then taken, then told; what we hear is written at
 * once when it changes what is ours, else with the next {@link flush}: what others own, others remember.
 */
export class RingState {
  readonly #env: Surroundings;
  readonly #leases: Pick<LeaseTable, "used" | "avoided">;
  readonly #changed: () => void;
  #ring: Ring | undefined;
  #space: Space;
  #dirty = false;

  /** @param changed called after each change @throws WEAVE_STORE */
  constructor(env: Surroundings, leases: Pick<LeaseTable, "used" | "avoided">, changed: () => void) {
    this.#env = env;
    this.#leases = leases;
    this.#changed = changed;
    this.#ring = this.#load();
    this.#space = this.#makeSpace();
  }

  get ring(): Ring | undefined {
    return this.#ring;
  }

  /** What is ours to hand out, at this moment. */
  get space(): Space {
    return this.#space;
  }

  /** Spans that are ours, those whose take-over is pending too. */
  get own(): Span[] {
    return this.#ring?.ownedBy(this.#env.self) ?? [];
  }

  /** Whether another ring holds against ours. */
  losesTo(ring: Ring): boolean {
    return this.#ring === undefined || compareGenesis(ring.genesis, this.#ring.genesis) > 0;
  }

  /** Takes a ring that ours loses to. @throws WEAVE_STORE */
  adopt(ring: Ring): void {
    if (this.#ring !== undefined) {
      this.#env.log.warn("another ring holds against ours; what our containers hold is asked for there", {
        ours: this.#ring.genesis.peers,
        theirs: ring.genesis.peers,
      });
    }
    this.#take(ring);
  }

  /** Merges spans of our own ring's id that others sent. @returns what was news @throws WEAVE_STORE, WEAVE_MESSAGE_MALFORMED */
  hear(spans: readonly Span[]): Span[] {
    if (this.#ring === undefined) return [];
    const { ring, news } = this.#ring.join(spans);
    // Longer than what a message or the disk takes: it could be neither repaired nor read again.
    if (ring.spans.length > MAX_SPANS)
      throw new WeaveError("WEAVE_MESSAGE_MALFORMED", `a ring of more than ${MAX_SPANS} parts`);
    if (news.length > 0) this.#take(ring);
    return news;
  }

  /**
   * Carries out a decision about spans that are ours to decide on: on disk first, then to all, and to `to` directly.
   *
   * @throws WEAVE_STORE; then nothing has changed
   */
  decide(spans: readonly Span[], to?: string): void {
    const { ring, news } = this.#ring!.join(spans);
    if (news.length === 0) return;
    this.#write(ring);
    const message = { kind: "news", ring: ring.id, spans: news } as const;
    if (to !== undefined) this.#env.unicast(to, message);
    this.#env.gossip(message);
    this.#set(ring);
  }

  /** A value that follows another, by the owner's or an operator's will. */
  successor(value: Ownership, change: Partial<Ownership> & Pick<Ownership, "owner" | "cause">): Ownership {
    return {
      ...value,
      version: successor(value.version),
      since: unixSeconds(this.#env.clock),
      from: value.owner,
      ...change,
    };
  }

  /** Makes own neighbours in the ring one span, so that it stays small however often space changes hands. @throws WEAVE_STORE */
  tidy(): void {
    const runs: Span[][] = [];
    for (const span of this.own) {
      const run = runs.at(-1);
      if (span.value.pending) runs.push([]);
      else if (run?.at(-1)?.end === span.start) run.push(span);
      else runs.push([span]);
    }
    const many = runs.filter((run) => run.length > 1);
    if (many.reduce((sum, run) => sum + run.length, 0) < TIDY_FROM) return;
    this.decide(
      many.map((run) => {
        const values = run.map(({ value }) => value);
        const epoch = Math.max(...values.map((value) => value.epoch));
        const version = successor(Math.max(...values.map((value) => value.version)));
        const value = this.successor(values[0], { owner: this.#env.self, cause: "tidied", epoch, version });
        return { start: run[0].start, end: run.at(-1)!.end, value };
      }),
    );
  }

  /** Writes what was not yet written. @throws WEAVE_STORE */
  flush(): void {
    if (this.#dirty && this.#ring !== undefined) this.#write(this.#ring);
  }

  #take(ring: Ring): void {
    const before = this.#ring?.ownedBy(this.#env.self) ?? [];
    if (sameSpans(before, ring.ownedBy(this.#env.self))) this.#dirty = true;
    else this.#write(ring);
    this.#set(ring);
  }

  #set(ring: Ring): void {
    this.#ring = ring;
    this.#space = this.#makeSpace();
    this.#changed();
  }

  #makeSpace(): Space {
    return new Space(
      this.own.filter(({ value }) => !value.pending),
      this.#leases.used,
      this.#leases.avoided,
    );
  }

  #write(ring: Ring): void {
    const { self, range, store } = this.#env;
    store.put(KEY, { name: self, range: range.text, ...ringToWire(ring.genesis, ring.spans) });
    this.#dirty = false;
  }

  /** A ring of another name or range is of no use: the original starts anew then, and so do we. */
  #load(): Ring | undefined {
    const { self, range, store, log } = this.#env;
    const stored = readStored(store, KEY, shape, "'weave reset' starts anew.");
    if (stored === undefined) return undefined;
    if (stored.name !== self) {
      log.warn("Deleting persisted data for peername", { stored: stored.name, ours: self });
      return undefined;
    }
    if (stored.range !== range.text) {
      log.warn("Deleting persisted data for IPAM range", { stored: stored.range, ours: range.text });
      return undefined;
    }
    const { genesis, spans } = ringFromWire(stored, range);
    return Ring.whole(range, genesis, spans);
  }
}

function sameSpans(a: readonly Span[], b: readonly Span[]): boolean {
  return (
    a.length === b.length &&
    a.every(
      (span, i) => span.start === b[i].start && span.end === b[i].end && span.value.pending === b[i].value.pending,
    )
  );
}
