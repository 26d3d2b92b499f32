import type { PeerName } from "#mesh/peer.js";
import type { Member } from "#mesh/rekey/acknowledgements.js";
import type { RekeyState } from "#mesh/rekey/ledger.js";
import type { RekeyNeighbour, RekeyRequest } from "#mesh/rekey/options.js";
import { Rekey } from "#mesh/rekey/rekey.js";
import { oneSecret, type SecretRing } from "#mesh/secrets.js";
import { makeSigner, type Signer } from "#mesh/signing.js";
import { silentLog } from "#src/log.js";
import type { Random } from "#src/random.js";
import { seededRandom, VirtualClock } from "#test/sim/virtual-time.js";

/** A peer of a {@link Group}: a {@link Rekey}, and what the mesh does around it. */
export interface GroupPeer extends Member {
  readonly index: number;
  readonly signer: Signer;
  readonly pins: Map<PeerName, string>;
  readonly excluded: Set<string>;
  secrets: SecretRing;
  rekey: Rekey;
  /** The state on disk. */
  stored: RekeyState | undefined;
  alive: boolean;
}

/** The secret of a password, for tests. @param password a small number */
export const secretOf = (password: number): Uint8Array => new Uint8Array(32).fill(password);

/** What `weave rekey` requests without options. */
export const request = (password: number | undefined, more: Partial<RekeyRequest> = {}): RekeyRequest => ({
  key: password === undefined ? undefined : secretOf(password),
  excluded: [],
  deadlineMs: 15 * 60_000,
  acceptEarlierMs: 0,
  ...more,
});

/** Peers on a virtual clock with links between them, each of which delivers messages in sequence after a random delay. */
export class Group {
  readonly clock = new VirtualClock();
  readonly random: Random;
  readonly peers: GroupPeer[] = [];
  readonly #links = new Map<string, number>();
  readonly #neighbours = new Map<GroupPeer, Set<GroupPeer>>();
  /** Time until when each direction of a link is busy with earlier messages. */
  readonly #free = new Map<string, number>();
  #announcing = false;
  messages = 0;
  bytes = 0;
  /** Called with each message, before it is delivered. */
  tap: (from: GroupPeer, to: GroupPeer, payload: Uint8Array) => void = () => {};

  constructor(seed: number) {
    this.random = seededRandom(seed);
  }

  /** Adds a peer that was launched with a password; undefined: with none. */
  add(password: number | undefined): GroupPeer {
    const index = this.peers.length;
    const signer = makeSigner(seededRandom(index + 500).bytes(32));
    const name = `02:00:00:00:00:${index.toString(16).padStart(2, "0")}` as PeerName;
    const base = {
      index,
      name,
      nickname: `h${index}`,
      identity: signer.identity,
      signer,
      pins: new Map(),
      excluded: new Set<string>(),
    };
    const peer = { ...base, alive: true, stored: undefined } as unknown as GroupPeer;
    this.peers.push(peer);
    this.start(peer, password);
    return peer;
  }

  /** Starts a peer, with the state that is on its disk. */
  start(peer: GroupPeer, password: number | undefined): void {
    peer.secrets = oneSecret(password === undefined ? undefined : secretOf(password));
    peer.alive = true;
    peer.rekey = new Rekey({
      self: peer,
      signer: peer.signer,
      clock: this.clock,
      random: this.random,
      log: silentLog,
      secrets: peer.secrets,
      exclusions: {
        isExcluded: (identity) => peer.excluded.has(identity),
        exclude: (identity) => {
          peer.excluded.add(identity);
          for (const other of this.neighbours(peer)) if (other.identity === identity) this.cut(peer, other);
        },
        identityOf: (name) => peer.pins.get(name),
      },
      network: {
        neighbours: () => this.neighbours(peer).map((other) => this.#end(peer, other)),
        members: () => this.reachable(peer),
        time: () => this.clock.wall(),
      },
      store: {
        state: structuredClone(peer.stored),
        save: (state) => {
          peer.stored = structuredClone(state);
        },
      },
    });
  }

  /** Ends a peer, and its links. */
  stop(peer: GroupPeer): void {
    peer.rekey.stop();
    peer.alive = false;
    for (const other of this.neighbours(peer)) this.cut(peer, other);
  }

  /** Links two peers if a handshake between them would succeed, within a few dials. @returns whether it does */
  connect(a: GroupPeer, b: GroupPeer): boolean {
    if (!a.alive || !b.alive || a.excluded.has(b.identity) || b.excluded.has(a.identity)) return false;
    for (let dial = 0; dial < 8; dial++) {
      const ours = a.secrets.forDial(b.name);
      const theirs = ours && b.secrets.forInbound(ours.generation);
      const agreed = ours === undefined ? !b.secrets.required : Buffer.from(theirs?.key ?? []).equals(ours.key);
      const earlier = a.secrets.isEarlier(ours) || b.secrets.isEarlier(theirs);
      const known = a.pins.get(b.name) === b.identity && b.pins.get(a.name) === a.identity;
      if (agreed && (known || !earlier)) {
        this.#link(a, b);
        return true;
      }
      a.secrets.refused(b.name);
    }
    return false;
  }

  cut(a: GroupPeer, b: GroupPeer): void {
    if (!this.#links.delete(linkOf(a, b))) return;
    this.#neighbours.get(a)?.delete(b);
    this.#neighbours.get(b)?.delete(a);
    this.#changed();
  }

  neighbours(peer: GroupPeer): GroupPeer[] {
    return [...(this.#neighbours.get(peer) ?? [])];
  }

  /** All peers that a peer reaches over links. */
  reachable(peer: GroupPeer): GroupPeer[] {
    const found = new Set([peer]);
    for (const each of found) for (const next of this.#neighbours.get(each) ?? []) found.add(next);
    found.delete(peer);
    return [...found];
  }

  #link(a: GroupPeer, b: GroupPeer): void {
    this.#links.set(linkOf(a, b), this.random.below(2 ** 30));
    for (const [from, to] of [
      [a, b],
      [b, a],
    ])
      this.#neighbours.set(from, (this.#neighbours.get(from) ?? new Set()).add(to));
    for (const each of this.reachable(a))
      for (const other of [a, ...this.reachable(a)]) each.pins.set(other.name, other.identity);
    for (const other of this.reachable(a)) a.pins.set(other.name, other.identity);
    this.#changed();
    a.rekey.greet(this.#end(a, b));
    b.rekey.greet(this.#end(b, a));
  }

  #changed(): void {
    // The topology arrives at each peer after a while.
    if (this.#announcing) return;
    this.#announcing = true;
    this.clock.after(100, () => {
      this.#announcing = false;
      for (const peer of this.peers) if (peer.alive) peer.rekey.membersChanged();
    });
  }

  /** What `from` sends to `to`. Messages on a link that was cut meanwhile are lost. */
  #end(from: GroupPeer, to: GroupPeer): RekeyNeighbour {
    const link = this.#links.get(linkOf(from, to));
    return {
      identity: to.identity,
      name: to.name,
      text: `${to.name}(${to.nickname})`,
      send: (payload) => {
        this.messages++;
        this.bytes += payload.length;
        this.tap(from, to, payload);
        this.#later(from, to, () => {
          if (this.#links.get(linkOf(from, to)) === link && link !== undefined)
            to.rekey.receive(this.#end(to, from), payload);
        });
      },
    };
  }

  #later(from: GroupPeer, to: GroupPeer, run: () => void): void {
    const way = `${from.index}>${to.index}`;
    const at = Math.max(this.#free.get(way) ?? 0, this.clock.now() + 1 + this.random.below(50));
    this.#free.set(way, at);
    this.clock.after(at - this.clock.now(), run);
  }
}

const linkOf = (a: GroupPeer, b: GroupPeer): string => [a.index, b.index].sort((x, y) => x - y).join("-");
