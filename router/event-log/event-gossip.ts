import type { GossipChannel, Gossiper } from "#mesh/gossip.js";
import type { PeerName } from "#mesh/peer.js";
import type { Change } from "#mesh/replica/record-set.js";
import { Replica, type ReplicaDeps } from "#mesh/replica/replica.js";
import { SET_BYTES } from "#mesh/replica/replicas.js";
import { type EventKind, eventNumber, type NetworkEvent } from "#router/event-log/event.js";
import type { EventJournal } from "#router/event-log/event-journal.js";
import { EVENT_FORMAT, type EventFields, eventOfFields, fieldsOfEvent, SLOTS } from "#router/event-log/event-record.js";
import { FairRing } from "#router/event-log/fair-ring.js";
import type { Timer } from "#src/clock.js";

/** Name of the gossip channel that carries events. */
export const EVENTS_CHANNEL = "events";

/**
 * The kinds that are announced: those that one host sees alone. What happens to a link, a route or an identity is seen by many hosts: in a
 * network of n hosts the end of one would be n announcements to n hosts each.
 */
const ANNOUNCED: ReadonlySet<EventKind> = new Set([
  "started",
  "stopped",
  "refused",
  "takeover",
  "attachment",
  "docker",
  "problem",
  "problem-over",
]);
/** Announcements that are made at once; more wait. */
const BURST = 4;
/** Time after which one more is made, with that which each reachable peer adds: also in a large network in trouble they are few bytes. */
const INTERVAL_MS = { least: 60_000, perPeer: 2_000 };
/** Time after a change in which the set is compared with neighbours as often as they ask for it, and the interval of comparisons after that. */
const REPAIR_MS = { changed: 120_000, quiet: 300_000 };
/** Age of the oldest events that are announced again after a restart. */
const AGAIN_MS = 24 * 3_600_000;

export interface EventGossipDeps
  extends Omit<ReplicaDeps<EventFields>, "indexes" | "shareBytes" | "store" | "onChange" | "time"> {
  readonly self: PeerName;
  /** Counter that grows with each start of this peer. */
  readonly incarnation: number;
  readonly journal: EventJournal;
  /** Returns the network's time, in milliseconds since the Unix epoch. */
  readonly time: () => number;
}

/** Whether an event is announced to other peers. */
export const isAnnounced = ({ kind, severity }: Pick<NetworkEvent, "kind" | "severity">): boolean =>
  ANNOUNCED.has(kind) || (kind === "fault" && severity === "error");

/**
 * Announces the last noteworthy events of this host to all peers, and takes those of others into the journal. They are a replicated set of
 * few records: {@link SLOTS} of each peer, which it signs.
 */
export class EventGossip {
  readonly #deps: EventGossipDeps;
  readonly #replica: Replica<EventFields>;
  /** Events that are not announced yet. One kind displaces no others: strangers can cause any number of refused connections. */
  #waiting = new FairRing<NetworkEvent>(SLOTS);
  #slot = 0;
  #tokens = BURST;
  #regainedAt: number;
  #timer: Timer | undefined;
  /** When the set changed, and when it was compared. */
  #changedAt: number;
  #comparedAt = Number.NEGATIVE_INFINITY;
  readonly #unsubscribe: () => void;

  constructor(deps: EventGossipDeps) {
    const { journal, clock } = deps;
    this.#deps = deps;
    this.#regainedAt = clock.now();
    this.#changedAt = clock.now();
    this.#replica = new Replica({
      ...deps,
      format: EVENT_FORMAT,
      shareBytes: SET_BYTES.events,
      onChange: (change) => this.#received(change),
    });
    for (const event of journal.own())
      if (isAnnounced(event) && clock.wall() - event.time < AGAIN_MS) this.#waiting.add(event.kind, event);
    this.#announce();
    this.#unsubscribe = journal.changes.on("event", (event) => this.#happened(event));
  }

  /** The receiving end of the channel. */
  get gossiper(): Gossiper {
    const replica = this.#replica;
    return {
      onUnicast: (from, payload, neighbour) => replica.onUnicast(from, payload, neighbour),
      onBroadcast: (from, payload, neighbour) => replica.onBroadcast(from, payload, neighbour),
      onGossip: (from, payload, neighbour) => replica.onGossip(from, payload, neighbour),
      onNotice: (notice, neighbour) => replica.onNotice(notice, neighbour),
      connected: (neighbour) => replica.connected(neighbour),
      state: () => this.#state(),
    };
  }

  /** Sets the sending end of the channel, and announces the events of this host. */
  open(channel: GossipChannel): void {
    this.#replica.open(channel);
  }

  /** Announces what waits, at once: the router stops. */
  flush(): void {
    this.#announce();
  }

  stop(): void {
    this.#unsubscribe();
    this.#timer?.cancel();
    this.#replica.stop();
  }

  /** The digest of the set, seldom while nothing changes: events that are late are worth less than the bytes of an idle network. */
  #state(): Uint8Array | undefined {
    const now = this.#deps.clock.now();
    if (now - this.#changedAt > REPAIR_MS.changed && now - this.#comparedAt < REPAIR_MS.quiet) return undefined;
    this.#comparedAt = now;
    return this.#replica.state();
  }

  #happened(event: NetworkEvent): void {
    if (event.peer !== this.#deps.self || !isAnnounced(event)) return;
    this.#waiting.add(event.kind, event);
    this.#announceInTurn();
  }

  #announceInTurn(): void {
    const { clock, peers } = this.#deps;
    if (this.#timer !== undefined) return;
    const interval = INTERVAL_MS.least + INTERVAL_MS.perPeer * peers.reachable().size;
    const now = clock.now();
    this.#tokens = Math.min(BURST, this.#tokens + (now - this.#regainedAt) / interval);
    this.#regainedAt = now;
    if (this.#tokens >= 1) {
      this.#tokens--;
      return this.#announce();
    }
    this.#timer = clock.after((1 - this.#tokens) * interval, () => {
      this.#timer = undefined;
      this.#announceInTurn();
    });
  }

  /** Puts what waits in the places of the oldest. There may be no room in the set: then these events stay at this host. */
  #announce(): void {
    const waiting = this.#waiting.all().sort((a, b) => eventNumber(a) - eventNumber(b));
    const put = waiting.map((event) => fieldsOfEvent(event, this.#slot++ % SLOTS));
    this.#waiting = new FairRing(SLOTS);
    if (put.length > 0) this.#replica.update({ put });
  }

  #received({ origin, added }: Change<EventFields>): void {
    const { self, journal, clock, time } = this.#deps;
    this.#changedAt = clock.now();
    if (origin === self) return;
    const live = added.filter(({ tombstone }) => tombstone === 0).sort((a, b) => a.number - b.number);
    for (const record of live) journal.receive(eventOfFields(origin, record, time()));
  }
}
