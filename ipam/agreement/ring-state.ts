import * as z from "zod/mini";
import type { Consents } from "#ipam/agreement/consents.js";
import { Deeds, type DeedsDeps } from "#ipam/agreement/deeds.js";
import { takeoversOf } from "#ipam/ring/consent.js";
import { type Interval, type IntervalSet, overlap, sorted, subtract } from "#ipam/ring/interval.js";
import { compareOwnership, type Genesis, type Ownership, Ring, type Span } from "#ipam/ring/ring.js";
import { Space } from "#ipam/ring/space.js";
import type { Subnet } from "#ipam/ring/subnet.js";
import type { MessageSender } from "#ipam/wire/message-sender.js";
import {
  deedsFromWire,
  intervalFromWire,
  intervalShape,
  intervalToWire,
  MAX_SPANS,
  ringFromWire,
  ringShape,
  ringToWire,
  spansShape,
  spansToWire,
} from "#ipam/wire/ring-codec.js";
import { successor } from "#mesh/counter.js";
import type { PeerName } from "#mesh/peer.js";
import type { Clock } from "#src/clock.js";
import type { Log } from "#src/log.js";
import { readStored, type Store } from "#src/store.js";

const KEY = "ipam/ring";
/** Number of adjacent own spans from which {@link RingState.tidy} joins them. It avoids a change after each donation. */
const TIDY_FROM = 4;
/** The next step in errors about damaged stored state. */
export const RESET_HINT = "'weave reset' starts over without it.";

/** Databases of before deeds have no titles: their spans count as checked. */
const shape = z.object({
  name: z.string(),
  range: z.string(),
  ...ringShape.shape,
  titles: z.optional(spansShape),
  unconfirmed: z._default(z.array(intervalShape).check(z.maxLength(MAX_SPANS)), []),
});

export interface RingStateDeps extends DeedsDeps {
  readonly consents: Consents;
  readonly self: PeerName;
  /** The range that the whole network allocates from. */
  readonly range: Subnet;
  readonly clock: Clock;
  readonly log: Log;
  readonly store: Store;
  readonly sender: MessageSender;
  /** Addresses that have a holder on this host. */
  readonly used: IntervalSet;
  /** Addresses to allocate last. */
  readonly avoided: IntervalSet;
  /** Called after each change. */
  readonly onChange: () => void;
}

/**
 * The ring as this peer knows it. A decision of this peer is written to disk before it is sent and applied. A merged update is
 * written immediately if it changes this peer's own spans, else with the next {@link flush}: other peers store their own spans.
 */
export class RingState {
  readonly #deps: RingStateDeps;
  /** The check of all that other peers send. */
  readonly deeds: Deeds;
  #ring: Ring | undefined;
  #space: Space;
  /** Intervals that other peers have given to this one, and that are not confirmed: sorted, within the own spans. */
  #unconfirmed: readonly Interval[] = [];
  #dirty = false;

  /** @throws WEAVE_STORE when the stored ring is damaged */
  constructor(deps: RingStateDeps) {
    this.#deps = deps;
    this.deeds = new Deeds(deps);
    this.#ring = this.#load();
    this.#space = this.#makeSpace();
  }

  get ring(): Ring | undefined {
    return this.#ring;
  }

  /** The space that this peer allocates from now. */
  get space(): Space {
    return this.#space;
  }

  /** This peer's own spans, pending takeovers included. */
  get own(): Span[] {
    return this.#ring?.ownedBy(this.#deps.self) ?? [];
  }

  /** The own spans that other peers have given to this one, and from which it does not allocate before they are confirmed. */
  get unconfirmed(): Span[] {
    return this.#unconfirmed.flatMap((each) => this.#ring?.within(each) ?? []);
  }

  /** Allocates from spans from now on, as far as this peer still owns them by the same decision. */
  confirm(spans: readonly Span[]): void {
    const same = spans.flatMap((span) =>
      this.#ring!.within(span).filter(({ value }) => compareOwnership(value, span.value) === 0),
    );
    this.#unconfirmed = this.#unconfirmed.flatMap((each) => subtract(each, same));
    this.#dirty = true;
    this.#set(this.#ring!);
  }

  /**
   * Begins with the first division of an origin that wins against the present one, and takes what follows from it.
   *
   * @param spans of that ring @param from the peer that sent them
   * @throws WEAVE_STORE
   */
  adopt(genesis: Genesis, spans: readonly Span[] = [], from: PeerName = this.#deps.self): void {
    if (this.#ring !== undefined) {
      this.#deps.log.warn(
        "another ring wins against this peer's; the addresses in use here are requested from its owners",
        {
          ours: this.#ring.genesis.peers,
          theirs: genesis.peers,
        },
      );
    }
    this.#apply(this.deeds.advance(Ring.first(this.#deps.range, genesis), spans, from));
  }

  /**
   * Merges spans of a ring with the same id, as far as they follow from the present one.
   *
   * @param from the peer that sent them
   * @returns the new part of the ring
   * @throws WEAVE_STORE, WEAVE_MESSAGE_MALFORMED
   */
  merge(spans: readonly Span[], from: PeerName): Span[] {
    if (this.#ring === undefined) return [];
    const ring = this.deeds.advance(this.#ring, spans, from);
    if (ring === this.#ring) return [];
    const { news } = this.#ring.join(ring.spans);
    this.#apply(ring);
    return news;
  }

  /** Drops decisions in the names of peers that turned out to have another identity. @throws WEAVE_STORE */
  recheck(): void {
    if (this.#ring === undefined) return;
    const ring = this.deeds.recheck(this.#ring);
    if (ring !== this.#ring) this.#apply(ring);
  }

  /** Returns what this peer must know to take the spans that wait: intervals, by the peer that can explain them. */
  gaps(): Map<PeerName, Span[]> {
    return this.#ring === undefined ? new Map() : this.deeds.gaps(this.#ring);
  }

  /**
   * Carries out a decision of this peer about spans: signs and writes it, sends it to `to` and by gossip, and applies it.
   *
   * @throws WEAVE_STORE; nothing has then changed
   */
  decide(spans: readonly Span[], to?: PeerName): void {
    const { sender } = this.#deps;
    const signed = this.deeds.sign(this.#ring!.id, spans);
    const { ring, news } = this.#ring!.join(signed);
    if (news.length === 0) return;
    const unconfirmed = this.#unconfirmedIn(ring);
    this.#write(ring, unconfirmed, signed);
    this.#unconfirmed = unconfirmed;
    this.deeds.record(signed);
    const consents = this.#deps.consents.about(takeoversOf(news));
    const message = { kind: "news", ring: ring.id, spans: news, consents } as const;
    if (to !== undefined) sender.unicast(to, message);
    sender.gossip(message);
    this.#set(ring);
  }

  /** Returns the next value of a span after a decision of its owner. */
  successor(value: Ownership, change: Partial<Ownership> & Pick<Ownership, "owner" | "cause">): Ownership {
    return {
      ...value,
      version: successor(value.version),
      since: unixSeconds(this.#deps.clock),
      from: value.owner,
      ...change,
    };
  }

  /** Joins adjacent own spans, so that the ring stays small although space changes its owner often. @throws WEAVE_STORE */
  tidy(): void {
    const runs: Span[][] = [];
    for (const span of this.own) {
      // The question whether a giver has given twice is about its own decision.
      if (this.#unconfirmed.some((each) => overlap(each, span) !== undefined)) continue;
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
        const value = this.successor(values[0], { owner: this.#deps.self, cause: "tidied", epoch, version });
        return { start: run[0].start, end: run.at(-1)!.end, value };
      }),
    );
  }

  /** Writes the changes that are not yet on disk. @throws WEAVE_STORE */
  flush(): void {
    if (this.#dirty && this.#ring !== undefined) this.#write(this.#ring, this.#unconfirmed);
  }

  #apply(ring: Ring): void {
    const unconfirmed = this.#unconfirmedIn(ring);
    if (sameSpans(this.own, ring.ownedBy(this.#deps.self))) this.#dirty = true;
    else this.#write(ring, unconfirmed);
    this.#unconfirmed = unconfirmed;
    this.#set(ring);
  }

  /** Returns what is unconfirmed in a later ring: what was before, and what others have given to this peer since. */
  #unconfirmedIn(ring: Ring): Interval[] {
    const { self } = this.#deps;
    const before = this.#ring?.id === ring.id ? this.own : [];
    return ring.ownedBy(self).flatMap(({ start, end, value }) => {
      const kept = this.#unconfirmed.map((each) => overlap(each, { start, end })).filter((each) => each !== undefined);
      const isGiven = value.deed !== undefined && value.deed.by !== self && !value.pending;
      const gained = isGiven ? subtract({ start, end }, before) : [];
      return sorted([...kept, ...gained]);
    });
  }

  #set(ring: Ring): void {
    this.#ring = ring;
    this.#space = this.#makeSpace();
    this.#deps.onChange();
  }

  #makeSpace(): Space {
    const { used, avoided } = this.#deps;
    const settled = this.own.filter(({ value }) => !value.pending);
    return new Space(
      settled.flatMap((span) => subtract(span, this.#unconfirmed)),
      used,
      avoided,
    );
  }

  /** @param decisions of this peer, which are not recorded before they are on disk */
  #write(ring: Ring, unconfirmed: readonly Interval[], decisions: readonly Span[] = []): void {
    const { self, range, store } = this.#deps;
    store.put(KEY, {
      name: self,
      range: range.text,
      ...ringToWire(ring.genesis, ring.spans),
      titles: spansToWire([...this.deeds.titles.all, ...decisions]),
      unconfirmed: unconfirmed.map(intervalToWire),
    });
    this.#dirty = false;
  }

  /** Reads the stored ring. The ring of another peer name or range is ignored, as in Weave Net. */
  #load(): Ring | undefined {
    const { self, range, store, log } = this.#deps;
    const stored = readStored(store, KEY, shape, RESET_HINT);
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
    if (stored.titles !== undefined)
      for (const span of deedsFromWire(stored.titles, range)) this.deeds.titles.add(span);
    this.#unconfirmed = stored.unconfirmed.map((each) => intervalFromWire(each, range));
    return Ring.whole(range, genesis, spans);
  }
}

/** Returns the Unix time in whole seconds. */
export const unixSeconds = (clock: Clock): number => Math.floor(clock.wall() / 1_000);

function sameSpans(a: readonly Span[], b: readonly Span[]): boolean {
  return (
    a.length === b.length &&
    a.every(
      (span, i) => span.start === b[i].start && span.end === b[i].end && span.value.pending === b[i].value.pending,
    )
  );
}
