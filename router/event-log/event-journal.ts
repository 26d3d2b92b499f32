import type { PeerName } from "#mesh/peer.js";
import { checkedDraft, type EventDraft, eventId, eventNumber, type NetworkEvent } from "#router/event-log/event.js";
import { MAX_OWN_EVENTS, MAX_PEER_EVENTS } from "#router/event-log/event-document.js";
import type { EventFile } from "#router/event-log/event-file.js";
import { EventFolding } from "#router/event-log/event-folding.js";
import { SLOTS } from "#router/event-log/event-record.js";
import { FairRing } from "#router/event-log/fair-ring.js";
import type { Clock } from "#src/clock.js";
import { Emitter } from "#src/emitter.js";
import { RateLimiter } from "#src/rate-limiter.js";

/** Events that are kept of each other peer. */
export const MAX_EVENTS_EACH = 32;
/**
 * Events that are taken from one other peer, and from all together: hostile peers may announce any number. A sound one announces no more than
 * its places in a minute.
 */
const FROM_EACH = { burst: MAX_EVENTS_EACH, perSecond: SLOTS / 60 };
const FROM_ALL = { burst: MAX_PEER_EVENTS, perSecond: 10 };

/** An event, and its place in the order in which this host came to know of events. */
interface Entry {
  readonly event: NetworkEvent;
  readonly place: number;
}

export interface EventJournalDeps {
  readonly self: PeerName;
  readonly file: Pick<EventFile, "load" | "append">;
  readonly clock: Clock;
}

/**
 * The events of this host, and those that other peers announce, in bounds, in memory and in a file. The numbers of a start are at least its
 * time: they are higher than those of earlier starts also on a host that has lost its file.
 */
export class EventJournal {
  /** Emits each new event, in the order in which this host came to know of them. */
  readonly changes = new Emitter<{ event: [event: NetworkEvent] }>();
  readonly #deps: EventJournalDeps;
  readonly #folding: EventFolding;
  readonly #own = new FairRing<Entry>(MAX_OWN_EVENTS);
  readonly #others = new FairRing<Entry>(MAX_PEER_EVENTS, MAX_EVENTS_EACH);
  readonly #fromEach: RateLimiter;
  readonly #fromAll: RateLimiter;
  #place = 0;
  #number: number;
  #excess = 0;

  constructor(deps: EventJournalDeps) {
    const { file, clock } = deps;
    this.#deps = deps;
    this.#folding = new EventFolding(clock, (draft) => this.#record(draft));
    this.#fromEach = new RateLimiter(clock, FROM_EACH);
    this.#fromAll = new RateLimiter(clock, FROM_ALL);
    for (const event of file.load()) this.#keep(event);
    this.#number = Math.max(clock.wall(), ...this.own().map(eventNumber));
  }

  /** Records what happened at this host. Repeated events are held back: see {@link EventFolding}. */
  add(draft: EventDraft): void {
    this.#folding.add(checkedDraft(draft));
  }

  /** Records an event that another peer has announced, unless it is known, or the peer announces too many. */
  receive(event: NetworkEvent): void {
    const known = this.#others.of(event.peer).at(-1);
    if (known !== undefined && eventNumber(event) <= eventNumber(known.event)) return;
    if (this.#fromEach.admit(event.peer) && this.#fromAll.admit("")) this.#take(event);
    else this.#excess++;
  }

  /** Returns the last events of this host and of others, oldest first. */
  recent(limit: number): readonly NetworkEvent[] {
    const entries = this.#entries().sort((a, b) => a.event.time - b.event.time || a.place - b.place);
    return entries.slice(Math.max(0, entries.length - limit)).map(({ event }) => event);
  }

  /** Returns the events that this host came to know of after a certain one, in that order; all if that one is not kept. */
  after(id: string): readonly NetworkEvent[] {
    const events = this.#arrived();
    return events.slice(events.findIndex((event) => event.id === id) + 1);
  }

  /** The events of this host, oldest first. */
  own(): readonly NetworkEvent[] {
    return byPlace(this.#own.all());
  }

  /** Numbers of events: kept of this host and of others, held back at this host, and dropped of others. */
  get sizes(): { readonly own: number; readonly others: number; readonly folded: number; readonly excess: number } {
    const [own, others] = [this.#own.size, this.#others.size];
    return { own, others, folded: this.#folding.folded, excess: this.#excess };
  }

  /** Reports the events that are held back: the router stops. */
  stop(): void {
    this.#folding.flush();
  }

  #record(draft: EventDraft): void {
    const { self, clock } = this.#deps;
    this.#take({ id: eventId(self, ++this.#number), time: Math.floor(clock.wall()), peer: self, ...draft });
  }

  #take(event: NetworkEvent): void {
    this.#keep(event);
    this.#deps.file.append(event, () => this.#arrived());
    this.changes.emit("event", event);
  }

  /** One kind of event displaces no others of this host, and one peer no events of others. */
  #keep(event: NetworkEvent): void {
    const entry = { event, place: this.#place++ };
    if (event.peer === this.#deps.self) this.#own.add(event.kind, entry);
    else this.#others.add(event.peer, entry);
  }

  #entries(): Entry[] {
    return [...this.#own.all(), ...this.#others.all()];
  }

  #arrived(): readonly NetworkEvent[] {
    return byPlace(this.#entries());
  }
}

const byPlace = (entries: Entry[]): readonly NetworkEvent[] =>
  entries.sort((a, b) => a.place - b.place).map(({ event }) => event);
