import type { Gossiper } from "#mesh/gossip.js";
import type { KnownPeers, PeerName } from "#mesh/peer.js";
import type { Change } from "#mesh/replica/record-set.js";
import { OWN_HOLD_MS, PEER_SHARE } from "#router/datapath/mac-table.js";
import type { Command } from "#router/datapath/protocol.js";
import type { Forwarding } from "#router/macs/forwarding.js";
import { MacAnnouncements, type MacAnnouncementsDeps } from "#router/macs/mac-announcements.js";
import { FREEZE_MOVES, FREEZE_WINDOW_MS, MacPlaces } from "#router/macs/mac-places.js";
import { isHostMac, MAX_SEQ, type MacFields } from "#router/macs/mac-record.js";
import type { MacSizes, MacsReport } from "#router/macs/report.js";
import { type Clock, every, type Timer } from "#src/clock.js";
import type { Log } from "#src/log.js";
import { type MacText, macNumber } from "#src/mac.js";
import { ThrottledTask } from "#src/throttled-task.js";

/** Changes of the bridge within this time are one announcement. */
const ANNOUNCE_MS = 10;
/** Interval at which MACs are withdrawn that have moved away. */
const SWEEP_MS = 5_000;
/** Interval at which MACs are announced again for which there was no room. */
const RESEND_MS = 30_000;
/** MACs that are announced together where there is no room for all. */
const PUT_BATCH = 64;
/** Shortest interval between two log lines about one kind of MAC. */
const LOG_MS = 10_000;

export interface MacsDeps extends Omit<MacAnnouncementsDeps, "onChange"> {
  readonly peers: KnownPeers;
  readonly forwarding: Forwarding;
  readonly datapath: { send(command: Command): void };
  /** The bridge's MACs: one that has moved to another host is learned again when it sends here. */
  readonly bridge: { forget(mac: MacText): void };
  readonly clock: Clock;
  readonly log: Log;
}

interface Own {
  /** The sequence number that is announced. */
  readonly seq: number;
  /** Since when another host has it, as far as we know; undefined: it is here. */
  lostAt: number | undefined;
  /** When another number was taken to answer one just above it. */
  readonly answeredAt: readonly number[];
}

/**
 * Finds the host of each MAC. Each host announces the MACs that its bridge has learned, and follows the announcements of others. A MAC that
 * two hosts announce goes to the later one; its former host withdraws it unless the MAC sends there again, and takes the next number then.
 * {@link MacPlaces} freezes a MAC that does so again and again.
 */
export class Macs {
  readonly #deps: MacsDeps;
  readonly #announcements: MacAnnouncements;
  readonly #places: MacPlaces;
  readonly #own = new Map<MacText, Own>();
  /** Own MACs whose announcement changes. */
  readonly #changed = new Set<MacText>();
  /** Own MACs for whose announcement there was no room. */
  readonly #unsent = new Set<MacText>();
  readonly #publish: ThrottledTask;
  readonly #sweep: Timer;
  readonly #resend: Timer;
  readonly #loggedAt = new Map<string, number>();
  readonly #counts = { refused: 0, unannounced: 0 };
  /** MACs of each peer that did not fit. */
  readonly #excess = new Map<PeerName, number>();
  readonly #logged = new Set<MacText>();

  constructor(deps: MacsDeps) {
    this.#deps = deps;
    const { forwarding, datapath, bridge, ...others } = deps;
    this.#places = new MacPlaces(deps.self);
    this.#announcements = new MacAnnouncements({ ...others, onChange: (change) => this.#onChange(change) });
    this.#publish = new ThrottledTask(deps.clock, ANNOUNCE_MS, () => this.#announce());
    this.#sweep = every(deps.clock, SWEEP_MS, () => this.#withdrawLost());
    this.#resend = every(deps.clock, RESEND_MS, () => this.#sendUnsent());
  }

  /** The receiving end of the channel. */
  get gossiper(): Gossiper {
    return this.#announcements.gossiper;
  }

  /** Sets the sending end of the channel. What the bridge has must be known by then: others would withdraw what is not announced. */
  open(channel: Parameters<MacAnnouncements["open"]>[0]): void {
    this.#announce();
    this.#announcements.open(channel);
  }

  /** The bridge has learned a MAC on a port of this host, or on another one. */
  learned(mac: MacText): void {
    const { forwarding, clock, self } = this.#deps;
    const own = this.#own.get(mac);
    // A member may choose the MAC of a container for its name: the host that had the container before goes on to deliver to it.
    if (!isHostMac(macNumber(mac)) || (own === undefined && this.#isBridge(mac))) return this.#refuse(mac);
    const elsewhere = own?.lostAt !== undefined || this.#places.at(mac) !== self;
    forwarding.place(mac, undefined);
    if (own !== undefined && !elsewhere) return;
    const seq = this.#number(mac, clock.now());
    if (seq === undefined) return;
    this.#own.set(mac, { seq, lostAt: undefined, answeredAt: own?.answeredAt ?? [] });
    this.#change(mac);
  }

  /** The port of a MAC is gone. A MAC that was silent for long, and that the kernel has dropped, is still there. */
  removed(mac: MacText): void {
    if (this.#own.has(mac)) this.#withdraw(mac);
  }

  /** Routes have changed: the bridge of each reachable peer has its name as MAC, unless a container of this host had it before. */
  routesChanged(): void {
    const { peers, forwarding } = this.#deps;
    for (const peer of peers.reachable()) {
      if (this.#places.at(peer) !== undefined) this.#reclaim(peer);
      else forwarding.place(peer, peer);
    }
  }

  /**
   * Withdraws what others have announced of the MAC of a peer's bridge before the peer was known: on a host that starts, announcements
   * may arrive first.
   */
  #reclaim(peer: PeerName): void {
    const { self, clock, forwarding, datapath } = this.#deps;
    const now = clock.now();
    for (const other of this.#places.claimants(peer)) {
      if (other === self) continue;
      this.#places.withdraw(peer, other, now);
      this.#refuseAnnounced(peer, other);
    }
    if (this.#own.has(peer)) return this.#follow(peer, now);
    forwarding.place(peer, peer);
    datapath.send({ do: "learn", mac: macNumber(peer), peer: macNumber(peer) });
  }

  /** A peer was unreachable for long. */
  forget(peer: PeerName): void {
    this.#announcements.forget(peer);
    if (this.#places.at(peer) === undefined) this.#deps.forwarding.place(peer, undefined);
    this.#excess.delete(peer);
  }

  /** The host of a MAC; undefined: none announces it. */
  at(mac: MacText): PeerName | undefined {
    return this.#places.at(mac);
  }

  /** Numbers of MACs. */
  get sizes(): MacSizes {
    const { size: known, frozenCount: frozen } = this.#places;
    return { own: this.#own.size, known, carried: this.#deps.forwarding.carried, frozen };
  }

  get report(): MacsReport {
    const { forwarding } = this.#deps;
    return {
      ...this.sizes,
      frozen: this.#places.frozen,
      refused: this.#counts.refused,
      unannounced: this.#counts.unannounced + this.#unsent.size,
      excess: [...this.#excess].map(([peer, macs]) => ({ peer, macs })),
      failures: forwarding.failures,
    };
  }

  stop(): void {
    this.#publish.cancel();
    this.#sweep.cancel();
    this.#resend.cancel();
    this.#announcements.stop();
  }

  /** A MAC that cannot be a container's: a bridge's, or one that no host can have. */
  #refuse(mac: MacText): void {
    this.#counts.refused++;
    this.#deps.forwarding.restore(mac);
    this.#warn("refused", "a container sends frames with the MAC of a host's bridge; it is not announced", { mac });
  }

  /** Whether a MAC is that of a host's bridge: the name of a known peer, or one that is pinned, as no peer is known at a start. */
  #isBridge(mac: MacText): boolean {
    const { self, peers } = this.#deps;
    return mac === self || peers.nickname(mac) !== undefined || peers.pinnedIdentity(mac) !== undefined;
  }

  /** Gives an own MAC its number. @returns undefined when this host has too many MACs */
  #number(mac: MacText, now: number): number | undefined {
    const { self } = this.#deps;
    const before = this.#own.get(mac)?.seq;
    // Further numbers do not move a frozen MAC. That it is here too is announced, so that it stays frozen.
    const top = this.#places.topOf(mac);
    const seq = this.#places.isFrozen(mac) ? (before ?? Math.max(0, top - 1)) : Math.min(MAX_SEQ, top + 1);
    if (this.#places.announce(mac, self, seq, now) === "full") {
      this.#counts.unannounced++;
      this.#warn("full", "this host has more MACs than a host may announce; other hosts flood frames to the rest", {
        announced: PEER_SHARE,
      });
      return undefined;
    }
    this.#logFrozen(mac);
    return seq;
  }

  #change(mac: MacText): void {
    this.#changed.add(mac);
    this.#publish.request();
  }

  #withdraw(mac: MacText): void {
    const { self, clock, datapath, forwarding } = this.#deps;
    this.#own.delete(mac);
    this.#places.withdraw(mac, self, clock.now());
    datapath.send({ do: "release", mac: macNumber(mac) });
    forwarding.place(mac, this.#elsewhere(mac));
    this.#change(mac);
  }

  /** The other host that has a MAC: that which announces it, or whose bridge has it. */
  #elsewhere(mac: MacText): PeerName | undefined {
    const { self, peers } = this.#deps;
    const at = this.#places.at(mac);
    if (at === undefined) return peers.reachable().has(mac) ? mac : undefined;
    return at === self ? undefined : at;
  }

  #announce(): void {
    const put: MacFields[] = [];
    const drop = new Set<MacText>();
    for (const mac of this.#changed) {
      const seq = this.#own.get(mac)?.seq;
      if (seq === undefined) drop.add(mac);
      else put.push({ mac, seq });
      this.#unsent.delete(mac);
    }
    this.#changed.clear();
    if (put.length + drop.size === 0 || this.#announcements.update(put, drop)) return;
    // A removal always has room.
    this.#announcements.update([], drop);
    const left = this.#putSome(put);
    for (const { mac } of left) this.#unsent.add(mac);
    if (left.length === 0) return;
    this.#warn("full", "there is no room for the MACs of this host; other hosts flood frames to them", {
      macs: this.#unsent.size,
    });
  }

  #sendUnsent(): void {
    if (this.#unsent.size === 0) return;
    for (const mac of this.#unsent) this.#changed.add(mac);
    this.#publish.request();
  }

  /** Announces as many as there is room for. @returns the others */
  #putSome(put: readonly MacFields[]): readonly MacFields[] {
    for (let at = 0; at < put.length; at += PUT_BATCH)
      if (!this.#announcements.update(put.slice(at, at + PUT_BATCH), new Set())) return put.slice(at);
    return [];
  }

  #onChange({ origin, added, removed }: Change<MacFields>): void {
    if (origin === this.#deps.self) return;
    const now = this.#deps.clock.now();
    const present = new Set(added.filter(({ tombstone }) => tombstone === 0).map(({ mac }) => mac));
    for (const { mac } of removed) if (!present.has(mac)) this.#withdrawn(mac, origin, now);
    for (const { mac, seq, tombstone } of added) if (tombstone === 0) this.#announced(mac, origin, seq, now);
  }

  #withdrawn(mac: MacText, origin: PeerName, now: number): void {
    this.#places.withdraw(mac, origin, now);
    this.#follow(mac, now);
  }

  #announced(mac: MacText, origin: PeerName, seq: number, now: number): void {
    if (this.#isBridge(mac)) return this.#refuseAnnounced(mac, origin);
    if (this.#places.announce(mac, origin, seq, now) === "full") {
      this.#excess.set(origin, (this.#excess.get(origin) ?? 0) + 1);
      return this.#warn("excess", "a peer announces more MACs than its share; frames to the rest are flooded", {
        peer: origin,
      });
    }
    this.#logFrozen(mac);
    this.#answer(mac, seq, now);
    this.#follow(mac, now);
  }

  /**
   * Takes another number for an own MAC that another host announces with one that would count at hosts that have not seen the moves before:
   * one far below ours, or, of a MAC that is frozen here, one just above. Two hosts that both keep it would answer each other: few answers.
   */
  #answer(mac: MacText, seq: number, now: number): void {
    const { self } = this.#deps;
    const own = this.#own.get(mac);
    if (own === undefined || own.lostAt !== undefined) return;
    const above = seq - own.seq;
    const isFar = above <= -FREEZE_MOVES;
    const isNear = above > 0 && above < FREEZE_MOVES && this.#places.isFrozen(mac) && this.#places.at(mac) === self;
    if (!isFar && !isNear) return;
    const answeredAt = own.answeredAt.filter((at) => now - at < FREEZE_WINDOW_MS);
    if (isNear && answeredAt.push(now) > FREEZE_MOVES) return;
    this.#own.set(mac, { seq: seq + 1, lostAt: undefined, answeredAt });
    this.#places.announce(mac, self, seq + 1, now);
    this.#change(mac);
  }

  #refuseAnnounced(mac: MacText, origin: PeerName): void {
    this.#counts.refused++;
    this.#warn("bridge", "a peer announces the MAC of a host's bridge; it is refused", { mac, peer: origin });
  }

  /** Sends frames to a MAC where it is now. */
  #follow(mac: MacText, now: number): void {
    const { self, forwarding, datapath, bridge, log } = this.#deps;
    const at = this.#places.at(mac);
    const own = this.#own.get(mac);
    if (own !== undefined && at !== self) {
      // Two hosts claim it for good: ours keeps it for its own containers.
      if (this.#places.isFrozen(mac) && own.lostAt === undefined) return;
      if (own.lostAt === undefined) log.info("a MAC has moved to another host", { mac, at });
      own.lostAt ??= now;
      bridge.forget(mac);
      datapath.send({ do: "release", mac: macNumber(mac) });
    }
    if (at === self) {
      if (own !== undefined) own.lostAt = undefined;
      return forwarding.place(mac, undefined);
    }
    forwarding.place(mac, this.#elsewhere(mac));
    if (at !== undefined) datapath.send({ do: "learn", mac: macNumber(mac), peer: macNumber(at) });
  }

  /** Withdraws MACs that have been at another host for a while: they have not sent here since. */
  #withdrawLost(): void {
    const now = this.#deps.clock.now();
    for (const [mac, { lostAt }] of this.#own)
      if (lostAt !== undefined && now - lostAt >= OWN_HOLD_MS && !this.#places.isFrozen(mac)) this.#withdraw(mac);
    for (const mac of this.#logged) if (!this.#places.isFrozen(mac)) this.#logged.delete(mac);
  }

  #logFrozen(mac: MacText): void {
    if (!this.#places.isFrozen(mac) || this.#logged.has(mac)) return;
    this.#logged.add(mac);
    if (!this.#mayWarn("frozen")) return;
    const { at, others } = this.#places.frozenAt(mac)!;
    this.#warn("frozen", "two hosts claim a MAC; it stays at the one that had it longest", {
      mac,
      at,
      claimedBy: others.join(", "),
    });
  }

  #mayWarn(kind: string): boolean {
    return this.#deps.clock.now() - (this.#loggedAt.get(kind) ?? Number.NEGATIVE_INFINITY) >= LOG_MS;
  }

  #warn(kind: string, text: string, fields: Readonly<Record<string, unknown>>): void {
    if (!this.#mayWarn(kind)) return;
    this.#loggedAt.set(kind, this.#deps.clock.now());
    this.#deps.log.warn(text, fields);
  }
}
