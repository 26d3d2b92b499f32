import { createHash } from "node:crypto";
import { z } from "zod/mini";
import { type AddressFamilies, decodeMessage, encodeMessage, type Message, type OriginSummary } from "#dns/messages.js";
import { fold, inDomain, parseName } from "#dns/name.js";
import { type DnsRecord, MAX_ORIGIN_BYTES, type OriginState, type RecordKey, Records } from "#dns/records.js";
import { Room } from "#dns/room.js";
import { MAX_AHEAD_MS, successor } from "#mesh/counter.js";
import type { GossipChannel, Gossiper } from "#mesh/gossip.js";
import type { KnownPeers, PeerName } from "#mesh/peer.js";
import { type Clock, every, type Timer } from "#src/clock.js";
import { WeaveError } from "#src/errors.js";
import type { Log } from "#src/log.js";
import type { Random } from "#src/random.js";
import { checkStored, type Store } from "#src/store.js";
import { compareText, shortHash } from "#src/text.js";

/** The mesh's channel that name servers talk on. */
export const DNS_CHANNEL = "nameserver";
/** Longer than any gossip is under way: a peer that was away for longer than this hears the horizon. As the original. */
const TOMBSTONE_S = 30 * 60;
const TICK_MS = 60_000;

const stored = z.object({ hostname: z.string(), address: z.string(), ident: z.string() });

/** Which records an operation is about; what is left out matches all. */
export type Match = Partial<RecordKey>;

export interface NameserverOptions {
  readonly self: PeerName;
  /** Grows with each start. */
  readonly incarnation: number;
  /** Folded, with a dot at its end. */
  readonly domain: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly store: Store;
  /** What the keys in the store begin with. */
  readonly prefix: string;
  readonly peers: KnownPeers;
  /** Which addresses records may have; IPv4 ones by default. */
  readonly families?: AddressFamilies;
  /** Milliseconds since the Unix epoch as the network has it; our own clock's by default. */
  readonly time?: () => number;
}

/** The names that this peer gives, those of all others, and the gossip that keeps them equal everywhere. No I/O. */
export class Nameserver implements Gossiper {
  readonly domain: string;
  readonly #options: NameserverOptions;
  readonly #records = new Records();
  readonly #room: Room;
  readonly #digests = new Map<PeerName, string>();
  readonly #timer: Timer;
  #channel: GossipChannel | undefined;
  #incarnation: number;
  #version = 0;
  /** States of peers that were refused: what they say cannot be true, or there is no room. */
  rejected = 0;

  /** @throws WEAVE_STORE when what is stored is damaged */
  constructor(options: NameserverOptions) {
    this.#options = options;
    this.domain = options.domain;
    this.#incarnation = options.incarnation;
    const { self, clock, peers } = options;
    this.#room = new Room({ self, clock, peers, origins: this.#records, drop: (origin) => this.#drop(origin) });
    const records = options.store.list(options.prefix).map(([key, value]): DnsRecord => {
      const { hostname, address, ident } = checkStored(key, value, stored, "'weave reset' starts anew.");
      return { hostname, address, ident, origin: options.self, version: ++this.#version, tombstone: 0 };
    });
    // Also without any name: what we said in an earlier life must go everywhere.
    this.#merge({ origin: options.self, incarnation: options.incarnation, horizon: 0, records });
    this.#timer = every(options.clock, TICK_MS, () => this.#expire());
  }

  /** Gives the sending end of our channel, and tells who we are. */
  open(channel: GossipChannel): void {
    this.#channel = channel;
    const own = this.#records.stateOf(this.#options.self)!;
    this.#gossip({ kind: "states", states: [own] });
  }

  stop(): void {
    this.#timer.cancel();
  }

  // ── Names ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Gives a name to an address of a container.
   *
   * @returns false when the name is not in our domain: it is ignored, as in the original
   * @throws WEAVE_DNS_NAME; WEAVE_STORE
   */
  add(ident: string, address: string, hostname: string): boolean {
    const name = parseName(hostname);
    if (!inDomain(fold(name), this.domain) || fold(name) === this.domain) {
      this.#options.log.info("a name outside our domain was ignored", { name, domain: this.domain });
      return false;
    }
    const key = { hostname: name, address, ident };
    const { self } = this.#options;
    const was = this.#records.get(self, key);
    if (was?.tombstone === 0) return true;
    if (was === undefined && !this.#records.hasRoom(self, key))
      throw new WeaveError("WEAVE_DNS_NAME", "this peer, or the network, gives as many names as can be kept already");
    this.#options.store.put(this.#storeKey(key), key);
    this.#change([{ ...key, origin: self, version: ++this.#version, tombstone: 0 }]);
    return true;
  }

  /** Takes names of ours away. @returns how many @throws WEAVE_STORE */
  remove(match: Match): number {
    const own = this.#records.stateOf(this.#options.self)?.records ?? [];
    const hostname = match.hostname === undefined ? undefined : parseName(match.hostname);
    const found = own.filter(
      (record) =>
        record.tombstone === 0 &&
        (match.ident === undefined || match.ident === record.ident) &&
        (match.address === undefined || match.address === record.address) &&
        (hostname === undefined || fold(hostname) === fold(record.hostname)),
    );
    const tombstone = Math.floor(this.#options.clock.wall() / 1_000);
    for (const record of found) this.#options.store.remove(this.#storeKey(record));
    this.#change(found.map((record) => ({ ...record, version: ++this.#version, tombstone })));
    return found.length;
  }

  /**
   * Addresses of a name, in random order. Those of peers out of reach only where there are no others.
   *
   * @returns undefined when nobody has the name
   */
  lookup(name: string): string[] | undefined {
    const near: string[] = [];
    const far: string[] = [];
    for (const { address, origin } of this.#records.named(name)) {
      const list = this.isAway(origin) ? far : near;
      if (!list.includes(address)) list.push(address);
    }
    const found = near.length > 0 ? near : far;
    return found.length === 0 ? undefined : this.#shuffle(found);
  }

  /** The name of an address: the first by sort order, of a peer within reach if there is one. */
  reverse(address: string): string | undefined {
    const records = [...this.#records.at(address)];
    const near = records.filter(({ origin }) => !this.isAway(origin));
    return (near.length > 0 ? near : records).sort(compareRecords)[0]?.hostname;
  }

  /** Live records of an address, of all peers. */
  at(address: string): DnsRecord[] {
    return [...this.#records.at(address)];
  }

  /** Live records of all peers. */
  get size(): number {
    return this.#records.size;
  }

  /** All records, in the original's order. */
  get records(): DnsRecord[] {
    return [...this.#records.all()].sort(compareRecords);
  }

  /** Live records of a container on this peer. */
  namesOf(ident: string): DnsRecord[] {
    const own = this.#records.stateOf(this.#options.self)?.records ?? [];
    return own.filter((record) => record.tombstone === 0 && record.ident === ident);
  }

  /** Containers that have names here. */
  get ownIdents(): Set<string> {
    const own = this.#records.stateOf(this.#options.self)?.records ?? [];
    return new Set(own.filter(({ tombstone }) => tombstone === 0).map(({ ident }) => ident));
  }

  /** Live records of this peer. */
  get ownSize(): number {
    const own = this.#records.stateOf(this.#options.self)?.records ?? [];
    return own.filter(({ tombstone }) => tombstone === 0).length;
  }

  /** Whether a peer is out of reach: its names are kept for a while, and answered last. */
  isAway(origin: PeerName): boolean {
    const { self, peers } = this.#options;
    return origin !== self && !peers.reachable().has(origin);
  }

  /** A peer is gone for so long that its names are dropped. It tells them again when it returns. */
  forgotten(peer: PeerName): void {
    this.#drop(peer);
    this.#room.forget(peer);
  }

  // ── Gossip ────────────────────────────────────────────────────────────────────────────────────────────────────────

  onUnicast(from: PeerName, payload: Uint8Array): void {
    const news = this.#hear(from, decodeMessage(payload, this.#options.families ?? "ipv4"));
    if (news !== undefined) this.#gossip(news);
  }

  onBroadcast(from: PeerName, payload: Uint8Array): void {
    this.onUnicast(from, payload);
  }

  onGossip(from: PeerName, payload: Uint8Array): Uint8Array | undefined {
    const news = this.#hear(from, decodeMessage(payload, this.#options.families ?? "ipv4"));
    return news && encodeMessage(news);
  }

  state(): Uint8Array {
    return encodeMessage({ kind: "digest", digest: this.digest });
  }

  /** Equal at two peers that know the same names. */
  get digest(): string {
    const hash = createHash("sha256");
    for (const [origin, incarnation, digest] of this.#summary()) hash.update(`${origin} ${incarnation} ${digest}\n`);
    return shortHash(hash);
  }

  /** @returns what of it was news, to be passed on */
  #hear(from: PeerName, message: Message): Message | undefined {
    switch (message.kind) {
      case "digest":
        if (message.digest !== this.digest) this.#unicast(from, { kind: "summary", origins: this.#summary() });
        return undefined;
      case "summary": {
        const { differ, lacking } = this.#compare(message.origins);
        if (differ.length > 0) this.#tell(from, differ);
        if (lacking.length > 0) this.#unicast(from, { kind: "want", origins: lacking });
        return undefined;
      }
      case "want":
        this.#tell(from, message.origins);
        return undefined;
      case "states": {
        const news = message.states.map((state) => this.#merge(state)).filter((state) => state !== undefined);
        return news.length === 0 ? undefined : { kind: "states", states: news };
      }
    }
  }

  #summary(): OriginSummary[] {
    return [...this.#records.origins()].sort().map((origin) => {
      const state = this.#records.stateOf(origin)!;
      return [origin, state.incarnation, this.#digestOf(state)];
    });
  }

  /** @returns what the other side lacks or has otherwise, and what we should ask it for */
  #compare(theirs: readonly OriginSummary[]): { differ: PeerName[]; lacking: PeerName[] } {
    const ours = new Map(this.#summary().map((each) => [each[0], each]));
    const lacking: PeerName[] = [];
    const differ = new Set(ours.keys());
    for (const [origin, incarnation, digest] of theirs) {
      const own = ours.get(origin);
      if (own !== undefined && own[1] === incarnation && own[2] === digest) differ.delete(origin);
      else if (origin === this.#options.self && incarnation > this.#incarnation) this.#outlive(incarnation);
      // Of ourselves an older state is no news; a forged one is found out when we see it.
      else if (origin !== this.#options.self || incarnation === this.#incarnation) lacking.push(origin);
    }
    return { differ: [...differ], lacking };
  }

  #tell(to: PeerName, origins: readonly PeerName[]): void {
    let states: OriginState[] = [];
    let bytes = 0;
    for (const origin of origins) {
      const state = this.#records.stateOf(origin);
      if (state === undefined) continue;
      bytes += this.#records.bytesOf(origin);
      if (states.length > 0 && bytes > MAX_ORIGIN_BYTES) {
        this.#unicast(to, { kind: "states", states });
        states = [];
        bytes = this.#records.bytesOf(origin);
      }
      states.push(state);
    }
    if (states.length > 0) this.#unicast(to, { kind: "states", states });
  }

  /** @returns what of it was news */
  #merge(state: OriginState): OriginState | undefined {
    const { self } = this.#options;
    const { origin, incarnation } = state;
    if (origin === self && this.#channel !== undefined) {
      if (incarnation > this.#incarnation || this.#records.isForged(state)) this.#outlive(incarnation);
      return undefined;
    }
    // Others, who forget it later, still tell of it.
    if (this.#room.wasForgotten(origin) && this.isAway(origin)) return undefined;
    if (incarnation > this.#latest() || !this.#room.admits(origin)) {
      this.rejected++;
      return undefined;
    }
    const news = this.#records.merge(state);
    if (news !== undefined) this.#digests.delete(origin);
    return news;
  }

  /**
   * Others have names of ours that we do not give: from a life before our clock was set back, or forged. With a later
   * incarnation ours count again.
   */
  #outlive(incarnation: number): void {
    if (incarnation > this.#latest()) {
      this.rejected++;
      return;
    }
    const { self, log } = this.#options;
    this.#incarnation = successor(incarnation);
    const records = this.#records.stateOf(self)!.records.filter(({ tombstone }) => tombstone === 0);
    const state = { origin: self, incarnation: this.#incarnation, horizon: 0, records };
    this.#records.merge(state);
    this.#digests.delete(self);
    log.warn("others had names of this peer that it does not give; they are replaced", { domain: this.domain });
    this.#gossip({ kind: "states", states: [state] });
  }

  /** The latest incarnation that can be true now. */
  #latest(): number {
    const { time, clock } = this.#options;
    return (time?.() ?? clock.wall()) + MAX_AHEAD_MS;
  }

  #drop(origin: PeerName): void {
    this.#records.drop(origin);
    this.#digests.delete(origin);
  }

  /** Our own records change: told to all. */
  #change(records: readonly DnsRecord[]): void {
    if (records.length === 0) return;
    const { self } = this.#options;
    const state = { origin: self, incarnation: this.#incarnation, horizon: 0, records };
    this.#records.merge(state);
    this.#digests.delete(self);
    this.#gossip({ kind: "states", states: [state] });
  }

  #expire(): void {
    this.#room.tidy();
    const before = Math.floor(this.#options.clock.wall() / 1_000) - TOMBSTONE_S;
    if (!this.#records.expire(this.#options.self, before)) return;
    this.#digests.delete(this.#options.self);
    // Repair tells the horizon: nothing depends on its speed.
  }

  #digestOf(state: OriginState): string {
    let digest = this.#digests.get(state.origin);
    if (digest === undefined) {
      const hash = createHash("sha256").update(`${state.horizon}\n`);
      for (const record of [...state.records].sort(compareRecords))
        hash.update(`${record.hostname} ${record.address} ${record.ident} ${record.version}\n`);
      digest = shortHash(hash);
      this.#digests.set(state.origin, digest);
    }
    return digest;
  }

  #storeKey({ hostname, address, ident }: RecordKey): string {
    return `${this.#options.prefix}${hostname}/${address}/${ident}`;
  }

  #gossip(message: Message): void {
    this.#channel?.gossip(encodeMessage(message));
  }

  #unicast(to: PeerName, message: Message): void {
    this.#channel?.unicast(to, encodeMessage(message));
  }

  #shuffle(list: string[]): string[] {
    for (let i = list.length - 1; i > 0; i--) {
      const j = this.#options.random.below(i + 1);
      [list[i], list[j]] = [list[j], list[i]];
    }
    return list;
  }
}

/** By folded name, then origin, id and address: as the original lists them. */
function compareRecords(a: DnsRecord, b: DnsRecord): number {
  return (
    compareText(fold(a.hostname), fold(b.hostname)) ||
    compareText(a.origin, b.origin) ||
    compareText(a.ident, b.ident) ||
    compareText(a.address, b.address) ||
    compareText(a.hostname, b.hostname)
  );
}
