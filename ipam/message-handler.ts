import type { Parts } from "#ipam/parts.js";
import type { Interval } from "#ipam/ring/interval.js";
import { type Genesis, Ring, type Span } from "#ipam/ring/ring.js";
import {
  decodeMessage,
  encodeMessage,
  fromWire,
  highestCounter,
  type Message,
  type RingSummary,
  ringSummary,
} from "#ipam/wire/ipam-message.js";
import { MAX_AHEAD_MS, successor } from "#mesh/counter.js";
import type { Gossiper } from "#mesh/gossip.js";
import { MAX_PEERS, type PeerName } from "#mesh/peer.js";
import { WeaveError } from "#src/errors.js";
import { RateLimiter } from "#src/rate-limiter.js";

/** Whole rings that are sent because another peer's differs: they are large, and what one brings all get as news. */
const TELLINGS = { perSecond: 3, burst: 3 };

/** What allocators say to one another on their channel. */
export class MessageHandler implements Gossiper {
  readonly #parts: Parts;
  readonly #tellings: RateLimiter;
  /** Peers whose ring differs from ours, and with whom it was not compared in full for now. */
  readonly #behind = new Set<PeerName>();
  /** Peers that have said something on our channel. */
  readonly participants = new Set<PeerName>();
  #toldFree: number | undefined;
  /** Of our last hint. */
  #hintVersion = 0;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#tellings = new RateLimiter(parts.env.clock, TELLINGS);
  }

  onUnicast(from: PeerName, payload: Uint8Array): void {
    const message = this.#open(from, payload);
    if (message !== undefined) this.#hear(from, message);
  }

  onBroadcast(from: PeerName, payload: Uint8Array): void {
    this.onUnicast(from, payload);
  }

  onGossip(from: PeerName, payload: Uint8Array): Uint8Array | undefined {
    const message = this.#open(from, payload);
    const news = message === undefined ? undefined : this.#hear(from, message);
    return news === undefined ? undefined : encodeMessage(this.#parts.env.range.text, news);
  }

  /** For new neighbours and for repair: little, as most know it already. */
  state(): Uint8Array {
    const electing = this.#parts.state.ring === undefined && this.#parts.bootstrap.votes.size > 0;
    const message: Message = electing ? { kind: "election", votes: this.#parts.bootstrap.votes } : this.#digest();
    return encodeMessage(this.#parts.env.range.text, message);
  }

  /** Reads a message of a peer that allocates from the same range; others are noted. @throws WEAVE_MESSAGE_MALFORMED */
  #open(from: PeerName, payload: Uint8Array): Message | undefined {
    if (from === this.#parts.env.self) return undefined;
    const { range, body } = decodeMessage(payload);
    if (range !== this.#parts.env.range.text) {
      if (body.kind === "digest") this.#parts.otherRanges.note(from, range, body.ring ?? undefined);
      return undefined;
    }
    this.#parts.otherRanges.forget(from);
    if (this.participants.size < MAX_PEERS) this.participants.add(from);
    const message = fromWire(body, this.#parts.env.range);
    // Each step of an honest peer takes more than a millisecond: no counter of its own is ever above the time.
    if (highestCounter(message) > this.#parts.env.time() + MAX_AHEAD_MS)
      throw new WeaveError("WEAVE_MESSAGE_MALFORMED", `counters of an IPAM message (${message.kind}) cannot be true`);
    return message;
  }

  /** @returns what of it was news to us, to be passed on @throws WEAVE_STORE, WEAVE_MESSAGE_MALFORMED */
  #hear(from: PeerName, message: Message): Message | undefined {
    switch (message.kind) {
      case "digest":
        this.#compare(from, message.ring);
        return undefined;
      case "ring":
        this.#hearRing(from, message);
        return undefined;
      case "news":
        return this.#hearNews(from, message);
      case "election":
        if (this.#parts.state.ring === undefined)
          return this.#parts.bootstrap.hear(message.votes) ? message : undefined;
        this.#tellRing(from, false);
        return undefined;
      case "need":
        if (this.#parts.state.ring === undefined) this.#parts.bootstrap.needed();
        else this.#tellRing(from, false);
        return undefined;
      case "request":
        this.#give(from, message.bounds);
        return undefined;
      case "denied":
        this.#parts.donors.denied(from, message.bounds);
        this.#parts.waiting.retry();
        return undefined;
      case "hint": {
        if (message.peer === this.#parts.env.self) {
          this.#hearOwnHint(message.version);
          return undefined;
        }
        const news = this.#parts.donors.hint(message.peer, message.version, message.free);
        if (news) this.#parts.waiting.retry();
        return news ? message : undefined;
      }
      case "agree":
        if (this.#hearSpans(from, message)) this.#parts.takeovers.answer(from, message);
        return undefined;
      case "agreed":
        if (this.#hearSpans(from, message)) {
          this.#parts.ownershipCheck.answered(from, message.id);
          this.#parts.takeovers.answered(from, message);
        }
        return undefined;
      case "keep":
        this.#parts.contested.leave(from, message.addresses);
        return undefined;
      case "kept":
        this.#parts.contested.refused(from, message.held);
        return undefined;
    }
  }

  /**
   * Somebody has told what it has. Who lacks something is told, or asked, in full: but when many meet at once, as after a
   * partition, a few at first, and the others after what those brought has spread.
   */
  #compare(from: PeerName, theirs: RingSummary | undefined): void {
    const { ring } = this.#parts.state;
    if (ring === undefined) {
      if (theirs !== undefined) this.#parts.env.unicast(from, this.#digest());
    } else if (theirs === undefined) this.#tellRing(from, false);
    else if (theirs.digest !== ring.digest) {
      if (this.#tellings.admit("")) this.#tellRing(from, true);
      else this.#behind.add(from);
    }
  }

  #tellRing(to: PeerName, ask: boolean): void {
    const { ring } = this.#parts.state;
    if (ring !== undefined)
      this.#parts.env.unicast(to, { kind: "ring", genesis: ring.genesis, spans: ring.spans, ask });
  }

  #hearRing(from: PeerName, { genesis, spans, ask }: Extract<Message, { kind: "ring" }>): void {
    const theirs = Ring.whole(this.#parts.env.range, genesis, spans);
    if (theirs === undefined)
      throw new WeaveError("WEAVE_MESSAGE_MALFORMED", "an IPAM ring does not cover its range exactly once");
    if (this.#parts.state.ring?.id !== theirs.id) this.#adopt(theirs);
    else this.#tellNews(this.#parts.state.hear(spans));
    if (this.#parts.state.ring?.digest !== theirs.digest && (ask || this.#parts.state.ring?.id !== theirs.id))
      this.#tellRing(from, false);
  }

  /** Another ring than ours, or the first that we hear of. */
  #adopt(theirs: Ring): void {
    if (!this.#parts.state.losesTo(theirs)) return;
    // That we own a part of it already, and have no memory of how, means that our disk was lost. This begins before the
    // ring changes: on that whoever waits tries again.
    if (theirs.ownedBy(this.#parts.env.self).length > 0 && !this.#parts.bootstrap.voted)
      this.#parts.ownershipCheck.begin();
    this.#parts.state.adopt(theirs);
    this.#parts.env.gossip(this.#digest());
  }

  #hearNews(from: PeerName, message: Extract<Message, { kind: "news" }>): Message | undefined {
    if (this.#parts.state.ring?.id !== message.ring) {
      this.#parts.env.unicast(from, this.#digest());
      return undefined;
    }
    this.#parts.donors.gave(from);
    const news = this.#parts.state.hear(message.spans);
    if (news.length === 0) this.#parts.waiting.retry();
    return news.length === 0 ? undefined : { ...message, spans: news };
  }

  /** Merges spans that came with something else. False: they are of another ring. */
  #hearSpans(from: PeerName, { ring, spans }: { ring: string; spans: readonly Span[] }): boolean {
    if (this.#parts.state.ring?.id !== ring) {
      this.#parts.env.unicast(from, this.#digest());
      return false;
    }
    this.#tellNews(this.#parts.state.hear(spans));
    return true;
  }

  #tellNews(spans: readonly Span[]): void {
    const { ring } = this.#parts.state;
    if (ring !== undefined && spans.length > 0) this.#parts.env.gossip({ kind: "news", ring: ring.id, spans });
  }

  /** A peer asks for space. */
  #give(to: PeerName, bounds: Interval): void {
    const { ring, space } = this.#parts.state;
    // Not as long as we may have lost it ourselves.
    if (ring === undefined || this.#parts.ownershipCheck.running) return;
    const chunk = space.donation(bounds);
    if (chunk === undefined && ring.within(bounds).every(({ value }) => value.owner !== this.#parts.env.self)) {
      // It asks the wrong one, because it knows less.
      this.#tellRing(to, true);
      return;
    }
    if (chunk === undefined) {
      this.#parts.env.unicast(to, { kind: "denied", bounds, free: Number(space.freeIn(this.#parts.env.range)) });
      return;
    }
    this.#parts.state.decide(
      ring.within(chunk).map(({ start, end, value }) => ({
        start,
        end,
        value: this.#parts.state.successor(value, { owner: to, cause: "donation" }),
      })),
      to,
    );
  }

  /** The first ring is decided. */
  begin(genesis: Genesis): void {
    if (this.#parts.state.ring !== undefined) return;
    this.#parts.env.log.info("the range is divided", { range: this.#parts.env.range.text, among: genesis.peers });
    // With the peers named by the operator this may be the hundredth start, on a new disk.
    if (genesis.at === 0 && genesis.peers.some((peer) => peer !== this.#parts.env.self))
      this.#parts.ownershipCheck.begin();
    this.#parts.state.adopt(Ring.first(this.#parts.env.range, genesis));
    this.#parts.env.gossip(this.#digest());
  }

  /** Tells what has changed, and looks again where rings differed. */
  tick(): void {
    this.#tellFree();
    for (const peer of this.#behind) this.#parts.env.unicast(peer, this.#digest());
    this.#behind.clear();
  }

  /** Somebody says for us how much we have free: the next thing that we say must count more. */
  #hearOwnHint(version: number): void {
    if (version <= this.#hintVersion) return;
    this.#hintVersion = version;
    this.#toldFree = undefined;
  }

  /** Tells how much is free when that has doubled or halved: enough to choose whom to ask, and seldom. */
  #tellFree(): void {
    const { ring, space } = this.#parts.state;
    if (ring === undefined) return;
    const free = Number(space.freeIn(this.#parts.env.range));
    // Until we say something, others go by our share.
    const told = this.#toldFree ?? Number(ring.shares().get(this.#parts.env.self) ?? 0n);
    if (free === told || (free > told / 2 && free < told * 2)) return;
    this.#toldFree = free;
    this.#hintVersion = Math.max(this.#parts.env.time(), successor(this.#hintVersion));
    this.#parts.env.gossip({ kind: "hint", peer: this.#parts.env.self, version: this.#hintVersion, free });
  }

  #digest(): Message {
    return { kind: "digest", ring: ringSummary(this.#parts.state.ring) };
  }
}
