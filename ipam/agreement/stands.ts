import type { RejectedMessages } from "#ipam/agreement/rejected-messages.js";
import type { Ring } from "#ipam/ring/ring.js";
import { type KnownPeers, MAX_PEERS, type PeerName } from "#mesh/peer.js";
import { isSignedBy, type Signer } from "#mesh/signing.js";
import { limitSize } from "#src/limit-size.js";

/** The ring that a peer stands by, with its signature. */
export interface Stand {
  /** The range and the id of the ring. */
  readonly range: string;
  readonly ring: string;
  readonly signature: Uint8Array;
}

export interface StandsDeps {
  readonly self: PeerName;
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
  readonly #moved = new Set<PeerName>();
  #own: Stand | undefined;
  /** The stand by the ring before, which proves to owners of this one that addresses of that are in use here. */
  #former: Stand | undefined;

  constructor(deps: StandsDeps) {
    this.#deps = deps;
  }

  /** Returns this peer's own stand. */
  own({ id: ring, range: { text: range } }: Ring): Stand {
    if (this.#own?.ring !== ring) {
      this.#former = this.#own;
      const signature = this.#deps.signer.sign("ipam-agreement", signedBytes(range, ring));
      this.#own = { range, ring, signature };
    }
    return this.#own;
  }

  /** The ring that this peer has stood by before, and its signature; undefined if there is none. */
  get former(): readonly [ring: string, signature: Uint8Array] | undefined {
    return this.#former && [this.#former.ring, this.#former.signature];
  }

  /** Records that another peer has signed a stand by an earlier ring. @param range the range of both peers */
  receiveFormer(peer: PeerName, range: string, [ring, signature]: readonly [string, Uint8Array]): void {
    const { peers, rejections } = this.#deps;
    const identity = peers.identity(peer);
    if (identity === undefined || this.#moved.has(peer)) return;
    if (isSignedBy(identity, "ipam-agreement", signedBytes(range, ring), signature)) this.#moved.add(peer);
    else rejections.note("forged", peer);
    limitSize(this.#moved, MAX_PEERS);
  }

  /** Records another peer's stand. @param from the peer that sent it @returns whether it is signed by that peer */
  receive(peer: PeerName, { range, ring, signature }: Stand, from: PeerName): boolean {
    const { self, peers, rejections } = this.#deps;
    if (peer === self) return false;
    const known = this.#stands.get(peer);
    if (known?.ring === ring && known.range === range) return true;
    const identity = peers.identity(peer);
    if (identity === undefined) return false;
    if (!isSignedBy(identity, "ipam-agreement", signedBytes(range, ring), signature)) {
      rejections.note("forged", from);
      return false;
    }
    if (known !== undefined) this.#moved.add(peer);
    limitSize(this.#moved, MAX_PEERS);
    this.#stands.set(peer, { range, ring, signature: Uint8Array.from(signature) });
    limitSize(this.#stands, MAX_PEERS);
    return true;
  }

  /** Returns the ring that a peer stands by, as far as known. */
  of(peer: PeerName): string | undefined {
    return this.#stands.get(peer)?.ring;
  }

  /** Whether a peer stands by another ring, or has done so before. */
  isFromOther(peer: PeerName, ring: string): boolean {
    return this.#moved.has(peer) || (this.of(peer) ?? ring) !== ring;
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
