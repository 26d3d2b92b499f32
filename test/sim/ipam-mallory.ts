import { sign } from "#ipam/ring/deed.js";
import { type Interval, subtract } from "#ipam/ring/interval.js";
import { type Genesis, type Ownership, Ring, type Span } from "#ipam/ring/ring.js";
import { parseSubnet } from "#ipam/ring/subnet.js";
import {
  decodeIpamMessage,
  encodeIpamMessage,
  fromWire,
  type IpamMessage,
  ringSummary,
} from "#ipam/wire/ipam-message.js";
import { voteBytes } from "#ipam/wire/vote.js";
import { MAX_AHEAD_MS } from "#mesh/counter.js";
import type { Gossiper } from "#mesh/gossip.js";
import { type IpamNetwork, SimHost } from "./ipam-network.js";

/** Messages that a hostile peer keeps, to send them again later. */
const KEPT = 200;

/** A member of the network that has its own identity, and says whatever serves it. It holds no containers. */
export class Mallory extends SimHost {
  readonly #network: IpamNetwork;
  readonly #seen: Uint8Array[] = [];
  #ring: Ring | undefined;
  /** What it has owned at any time. */
  readonly owned: Interval[] = [];
  /** Addresses about which it has signed two decisions that exclude each other. */
  readonly contradicted: Interval[] = [];
  /** What it has given twice. */
  #given: readonly Span[] = [];
  attacks = 0;
  /** Whether it tries takeovers: only while all peers are up, because of one that is down any member may take the addresses. */
  takesOver = false;

  constructor(network: IpamNetwork, index: number, range: string) {
    super(index, { mode: "observer" }, range);
    this.#network = network;
  }

  /** Begins to listen: it learns the ring from others' messages, and answers nothing. */
  listen(): void {
    const receive = (payload: Uint8Array): undefined => {
      if (this.#seen.length < KEPT) this.#seen.push(payload);
      else this.#seen[this.#network.random.below(KEPT)] = payload;
      const range = parseSubnet(this.range);
      const { range: theirs, body } = decodeIpamMessage(payload);
      const message = theirs === this.range ? fromWire(body, range) : undefined;
      if (message?.kind === "ring") {
        const whole = Ring.whole(range, message.genesis, message.spans);
        // It does not forget what it has given away: two decisions about its own addresses are a limit that is stated.
        this.#ring = whole !== undefined && whole.id === this.#ring?.id ? this.#ring.join(whole.spans).ring : whole;
      }
      if (message?.kind === "news" && message.ring === this.#ring?.id) this.#ring = this.#ring.join(message.spans).ring;
      this.#noteOwned();
    };
    const gossiper: Gossiper = {
      onUnicast: (_from, payload) => receive(payload),
      onBroadcast: (_from, payload) => receive(payload),
      onGossip: (_from, payload) => receive(payload),
      state: () => encodeIpamMessage(this.range, { kind: "digest", ring: undefined, stand: undefined }),
    };
    this.life++;
    this.gossiper = gossiper;
    this.#network.join(this);
  }

  #noteOwned(): void {
    for (const { start, end } of this.#ring?.ownedBy(this.name) ?? [])
      if (subtract({ start, end }, this.owned).length > 0) {
        this.owned.push({ start, end });
        this.owned.sort((a, b) => (a.start < b.start ? -1 : 1));
      }
  }

  /** One attack of a random kind. */
  attack(): void {
    const { random, hosts } = this.#network;
    const others = hosts.filter((host) => host !== this);
    const victim = others[random.below(others.length)];
    this.attacks++;
    const ring = this.#ring;
    const kind = random.below(10);
    if (kind === 0) this.#replay();
    else if (kind === 1) this.#election();
    else if (kind === 2) this.#otherRing();
    else if (kind === 3) this.#flood(victim);
    else if (ring === undefined) this.#election();
    else if (kind === 4 && this.takesOver) this.#takeOver(ring, victim);
    else if (kind === 5) this.#steal(ring, victim, "donation");
    else if (kind === 6) this.#hints(victim);
    else if (kind === 7) this.#answerForOthers(ring, victim);
    else if (kind === 8) this.#giveTwice(ring, others);
    else this.#give(ring, victim);
  }

  #toAll(message: IpamMessage): void {
    const payload = encodeIpamMessage(this.range, message);
    for (const host of this.#network.hosts) if (host !== this) this.#network.lie(this, host, payload);
  }

  /** What it received, perhaps long ago. */
  #replay(): void {
    const { random, hosts } = this.#network;
    for (let i = 0; i < 10 && this.#seen.length > 0; i++)
      this.#network.lie(this, hosts[random.below(hosts.length)], this.#seen[random.below(this.#seen.length)]);
  }

  /** Votes of its own and in others' names are the same to a peer: rounds as high as they may be. */
  #election(): void {
    const { clock, random } = this.#network;
    const round = random.below(2) === 0 ? clock.wall() + MAX_AHEAD_MS : 1 + random.below(1_000);
    const promised = { round, proposer: this.name };
    const vote = { promised, accepted: undefined };
    const signature = this.signer.sign("ipam-agreement", voteBytes(this.range, this.name, vote));
    this.#toAll({ kind: "election", votes: new Map([[this.name, { ...vote, signature }]]) });
  }

  /** A ring of its own, divided among thousands of peers that do not exist. */
  #otherRing(): void {
    const { random } = this.#network;
    const name = (i: number) => `fe:00:00:00:${hex(i >> 8)}:${hex(i & 255)}`;
    const peers = [this.name, ...Array.from({ length: 1 + random.below(40) }, (_, i) => name(i))].sort();
    const genesis: Genesis = { peers, at: 1 };
    const ring = Ring.first(parseSubnet(this.range), genesis);
    const stand = this.signer.sign("ipam-agreement", Buffer.from(JSON.stringify(["stand", this.range, ring.id])));
    this.#toAll({ kind: "ring", genesis, spans: ring.spans, ask: true, stands: [[this.name, stand]] });
    this.#toAll({ kind: "digest", ring: ringSummary(ring), stand });
  }

  #flood(victim: SimHost): void {
    const { start, end } = parseSubnet(this.range);
    const message = encodeIpamMessage(this.range, { kind: "request", bounds: { start, end } });
    for (let i = 0; i < 30; i++) this.#network.lie(this, victim, message);
  }

  #hints(victim: SimHost): void {
    const version = this.#network.clock.wall() + MAX_AHEAD_MS;
    this.#toAll({ kind: "hint", peer: victim.name, version, free: this.#network.random.below(1_000) });
  }

  /** Claims what a peer owns, and settles the claim without any agreement. */
  #takeOver(ring: Ring, victim: SimHost): void {
    const { random, clock } = this.#network;
    const high = random.below(2) === 0;
    const change = { pending: true, since: Math.floor(clock.wall() / 1_000), from: victim.name };
    const claims = ring.ownedBy(victim.name).map((span): Span => {
      const epoch = high ? clock.wall() : span.value.epoch + 1;
      return this.#signed(ring, span, {
        ...span.value,
        ...change,
        owner: this.name,
        epoch,
        version: 0,
        cause: "rmpeer",
      });
    });
    if (claims.length === 0) return;
    this.contradicted.push(...claims);
    this.#toAll({ kind: "agree", ring: ring.id, id: 1, spans: claims });
    const settled = claims.map((span) => this.#signed(ring, span, { ...span.value, version: 1, pending: false }));
    this.#toAll({ kind: "news", ring: ring.id, spans: settled, consents: [] });
  }

  /** A transfer of another peer's addresses to itself, or to a third one, signed by itself in its own or the owner's name. */
  #steal(ring: Ring, victim: SimHost, cause: Ownership["cause"]): void {
    const { random, clock, hosts } = this.#network;
    const owner = random.below(2) === 0 ? this.name : hosts[random.below(hosts.length)].name;
    const spans = ring.ownedBy(victim.name).map((span): Span => {
      const version = random.below(2) === 0 ? clock.wall() : span.value.version + 1;
      // Of what it owned itself, two decisions could both be valid where the first one is unknown: that is its own loss.
      const by = random.below(2) === 0 && this.owned.length === 0 ? this.name : victim.name;
      return this.#signed(ring, span, { ...span.value, owner, version, cause, from: by }, by);
    });
    if (spans.length > 0) this.#toAll({ kind: "news", ring: ring.id, spans, consents: [] });
  }

  /** Answers for takeovers and checks of others, with numbers that may be in use, and addresses that it does not hold. */
  #answerForOthers(ring: Ring, victim: SimHost): void {
    const held = ring
      .ownedBy(victim.name)
      .map(({ start }) => start)
      .slice(0, 8);
    this.#toAll({ kind: "agreed", ring: ring.id, id: 1, spans: [], consents: [], held });
    this.#toAll({ kind: "keep", addresses: held, former: undefined });
    this.#toAll({ kind: "confirmed", ring: ring.id, id: 1, agreed: false, spans: [], held });
    this.#toAll({ kind: "denied", bounds: parseSubnet(this.range), free: 0 });
  }

  /** Gives what it owns to a peer that has not asked for it. */
  #give(ring: Ring, victim: SimHost): void {
    const spans = ring.ownedBy(this.name).map((span) => {
      const value = { ...span.value, owner: victim.name, version: span.value.version + 1, cause: "donation" } as const;
      return this.#signed(ring, span, { ...value, from: this.name });
    });
    this.#ring = ring.join(spans).ring;
    if (spans.length > 0) this.#toAll({ kind: "news", ring: ring.id, spans, consents: [] });
  }

  /** Gives what it owns, or owned once, to two peers, of which each gets its own transfer first. One of the two may be itself. */
  #giveTwice(ring: Ring, others: readonly SimHost[]): void {
    const { random } = this.#network;
    const spans = [...ring.ownedBy(this.name), ...(random.below(2) === 0 ? this.#given : [])].slice(0, 4);
    if (spans.length === 0) return;
    this.#given = spans;
    this.contradicted.push(...spans);
    const receivers = [
      others[random.below(others.length)],
      random.below(4) === 0 ? this : others[random.below(others.length)],
    ];
    const steps = [1, random.below(2) === 0 ? 1 : 2 + random.below(3)];
    const of = others.map(() => random.below(2));
    receivers.forEach((receiver, i) => {
      const signed = spans.map((span): Span => {
        const version = span.value.version + steps[i];
        const value = { ...span.value, owner: receiver.name, version, cause: "donation", from: this.name } as const;
        return this.#signed(ring, span, value);
      });
      const payload = encodeIpamMessage(this.range, {
        kind: "news",
        ring: ring.id,
        spans: sorted(signed),
        consents: [],
      });
      others.forEach((host, at) => {
        const first = host === receiver || (host !== receivers[1 - i] && of[at] === i);
        if (first) this.#network.lie(this, host, payload);
        else if (random.below(2) === 0)
          this.#network.clock.after(1 + random.below(2_000), () => this.#network.lie(this, host, payload));
      });
    });
  }

  #signed(ring: Ring, span: Span, value: Ownership, by = this.name): Span {
    return { ...span, value: sign(this.signer, by, ring.id, span, value) };
  }
}

const sorted = (spans: readonly Span[]): Span[] => {
  const parts: Span[] = [];
  for (const span of [...spans].sort((a, b) => (a.start < b.start ? -1 : 1)))
    if (span.start >= (parts.at(-1)?.end ?? 0n)) parts.push(span);
  return parts;
};

const hex = (value: number) => value.toString(16).padStart(2, "0");
