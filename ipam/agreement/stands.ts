import type { RejectedMessages } from "#ipam/agreement/rejected-messages.js";
import type { Ring } from "#ipam/ring/ring.js";
import { type KnownPeers, MAX_PEERS, type PeerName } from "#mesh/peer.js";
import type { Signer } from "#mesh/signing.js";
import type { Clock } from "#src/clock.js";
import { limitSize } from "#src/limit-size.js";

/** Time in which a peer that comes from another ring may name the addresses that its containers have from there. */
const MOVED_MS = 600_000;
/** Maximum number of those addresses: any peer can invent a ring, and leave it. Few hosts run as many containers. */
const MAX_BROUGHT = 512;
/** Shortest interval between two moves of a peer that count. */
const MOVE_AGAIN_MS = 24 * 3_600_000;
/** Maximum number of rings that have lost against this peer's, and that are remembered. */
const MAX_LOST = 16;

/** The ring that a peer stands by, with its signature. */
export interface Stand {
  /** The range and the id of the ring. */
  readonly range: string;
  readonly ring: string;
  readonly signature: Uint8Array;
}

/** A peer that has stood by another ring before. */
interface Move {
  readonly ring: string;
  /** Monotonic time at which this peer learned of it. */
  readonly at: number;
  /** The addresses that it has named since, and that it may get, at any later time too. */
  readonly brought: Set<bigint>;
}

export interface StandsDeps {
  readonly self: PeerName;
  readonly clock: Clock;
  readonly signer: Signer;
  readonly peers: KnownPeers;
  readonly rejections: RejectedMessages;
}

/**
 * The ring that each peer stands by, as each has signed it: between rings of different origins the number of reachable peers
 * decides, and not the number of names that a message contains.
 */
export class Stands {
  readonly #deps: StandsDeps;
  readonly #stands = new Map<PeerName, Stand>();
  /** Peers that have stood by another ring before: their containers may have addresses of that. */
  readonly #moved = new Map<PeerName, Move>();
  /** Ids of rings of other origins that this peer has had, or has received as a whole, and that have lost. */
  readonly #lost = new Set<string>();
  #own: (Stand & { whole: Ring }) | undefined;
  /** The stand by the ring before, which proves to owners of this one that addresses of that are in use here, and when it ended. */
  #former: (Stand & { readonly whole: Ring; readonly until: number }) | undefined;

  constructor(deps: StandsDeps) {
    this.#deps = deps;
  }

  /** Returns this peer's own stand. */
  own(whole: Ring): Stand {
    const {
      id: ring,
      range: { text: range },
    } = whole;
    if (this.#own?.ring !== ring) {
      const { signer, clock } = this.#deps;
      this.#former = this.#own && { ...this.#own, until: clock.now() };
      this.#own = { range, ring, signature: signer.sign("ipam-agreement", signedBytes(range, ring)), whole };
    }
    this.#own.whole = whole;
    return this.#own;
  }

  /** The ring that this peer has stood by before, and its signature; undefined if there is none. */
  get former(): readonly [ring: string, signature: Uint8Array] | undefined {
    return this.#former && [this.#former.ring, this.#former.signature];
  }

  /** The ring that this peer has stood by before as a whole, for peers that have not seen it. */
  get formerRing(): Ring | undefined {
    return this.#former?.whole;
  }

  /** Whether this peer has left another ring a short time ago. */
  get hasMovedLately(): boolean {
    return this.#former !== undefined && this.#deps.clock.now() - this.#former.until < MOVED_MS;
  }

  /** Records that a whole ring of another origin has lost against this peer's: peers may come from it. */
  noteLost(ring: string): void {
    this.#lost.delete(ring);
    this.#lost.add(ring);
    limitSize(this.#lost, MAX_LOST);
  }

  /**
   * Records that another peer has signed a stand by an earlier ring, which this peer has seen lose.
   *
   * @param present this peer's ring
   * @returns whether the stand is by a ring that this peer has not seen
   */
  receiveFormer(peer: PeerName, present: Ring, [ring, signature]: readonly [string, Uint8Array]): boolean {
    const { signer, peers, rejections } = this.#deps;
    const identity = peers.identity(peer);
    if (identity === undefined || ring === present.id) return false;
    if (!this.#lost.has(ring)) return true;
    if (!this.#mayMove(peer, ring)) return false;
    if (signer.verify(identity, "ipam-agreement", signedBytes(present.range.text, ring), signature))
      this.#move(peer, ring);
    else rejections.note("forged", peer);
    return false;
  }

  #mayMove(peer: PeerName, ring: string): boolean {
    const known = this.#moved.get(peer);
    return known === undefined || (known.ring !== ring && this.#deps.clock.now() - known.at >= MOVE_AGAIN_MS);
  }

  #move(peer: PeerName, ring: string): void {
    this.#moved.delete(peer);
    this.#moved.set(peer, { ring, at: this.#deps.clock.now(), brought: new Set() });
    limitSize(this.#moved, MAX_PEERS);
  }

  /** Records another peer's stand. @param from the peer that sent it @returns whether it is signed by that peer */
  receive(peer: PeerName, { range, ring, signature }: Stand, from: PeerName): boolean {
    const { self, signer, peers, rejections } = this.#deps;
    if (peer === self) return false;
    const known = this.#stands.get(peer);
    if (known?.ring === ring && known.range === range) return true;
    const identity = peers.identity(peer);
    if (identity === undefined) return false;
    if (!signer.verify(identity, "ipam-agreement", signedBytes(range, ring), signature)) {
      rejections.note("forged", from);
      return false;
    }
    if (known !== undefined && this.#lost.has(known.ring) && this.#mayMove(peer, known.ring))
      this.#move(peer, known.ring);
    this.#stands.set(peer, { range, ring, signature: Uint8Array.from(signature) });
    limitSize(this.#stands, MAX_PEERS);
    return true;
  }

  /** Returns the ring that a peer stands by, as far as known. */
  of(peer: PeerName): string | undefined {
    return this.#stands.get(peer)?.ring;
  }

  /** Whether a peer may keep an address that it has from another ring: it names it in time, and not too many. */
  hasBrought(peer: PeerName, address: bigint): boolean {
    const move = this.#moved.get(peer);
    if (move === undefined || move.brought.has(address)) return move !== undefined;
    if (this.#deps.clock.now() - move.at >= MOVED_MS || move.brought.size >= MAX_BROUGHT) return false;
    move.brought.add(address);
    return true;
  }

  /** Whether a peer is known to come from another ring. */
  hasMoved(peer: PeerName): boolean {
    return this.#moved.has(peer);
  }

  /** Returns the stands by a ring, this peer's own included: for peers with another one. */
  by(ring: Ring): [PeerName, Uint8Array][] {
    const own: [PeerName, Uint8Array] = [this.#deps.self, this.own(ring).signature];
    const others = [...this.#stands].filter(([, stand]) => stand.ring === ring.id);
    return [own, ...others.map(([peer, { signature }]): [PeerName, Uint8Array] => [peer, signature])];
  }

  /** Returns the number of reachable peers that stand by a ring of another origin. */
  behind(ring: string): number {
    const reachable = this.#deps.peers.reachable();
    return [...this.#stands].filter(([peer, stand]) => stand.ring === ring && reachable.has(peer)).length;
  }

  /** Returns the number of reachable peers of this peer's own ring, itself included: those that do not stand by another one. */
  behindOwn(ring: Ring): number {
    const { id, genesis } = ring;
    const { self, peers } = this.#deps;
    const reachable = peers.reachable();
    const standing = [...this.#stands].filter(([, stand]) => stand.ring === id).map(([peer]) => peer);
    const members = new Set([...genesis.peers, ...ring.shares().keys(), ...standing]);
    return (
      1 + [...members].filter((peer) => peer !== self && reachable.has(peer) && (this.of(peer) ?? id) === id).length
    );
  }
}

const signedBytes = (range: string, ring: string): Uint8Array => Buffer.from(JSON.stringify(["stand", range, ring]));
