import type { RejectedMessages } from "#ipam/agreement/rejected-messages.js";
import { isValid } from "#ipam/ring/deed.js";
import { compareOwnership, type Deed, type Ownership } from "#ipam/ring/ring.js";
import { type KnownPeers, MAX_PEERS, type PeerName } from "#mesh/peer.js";
import type { Signer } from "#mesh/signing.js";

/** Maximum number of decisions in a message that are verified: about 50 ms. The others come with the next exchange of rings. */
const MAX_CHECKS = 500;

interface DeedSignaturesDeps {
  readonly self: PeerName;
  readonly signer: Signer;
  readonly peers: KnownPeers;
  readonly rejections: RejectedMessages;
}

/** Verifies the signatures of decisions: each one once, and a limited number for each message. */
export class DeedSignatures {
  readonly #deps: DeedSignaturesDeps;
  /** Values whose signature was checked, by deed. */
  readonly #valid = new WeakMap<Deed, Ownership>();
  /** Values whose signature was checked, and is wrong. */
  readonly #forged = new WeakSet<Ownership>();
  /** Peers that are unknown here, and the identity that a decision in their name has. */
  readonly #unconfirmed = new Map<PeerName, string>();
  /** Number of decisions of the message at hand that may still be verified. */
  #left = MAX_CHECKS;

  constructor(deps: DeedSignaturesDeps) {
    this.#deps = deps;
  }

  /** Begins with the decisions of another message. */
  begin(): void {
    this.#left = MAX_CHECKS;
  }

  /** Whether one more decision of the message may be verified. It must be asked once for each. */
  admit(): boolean {
    return this.#left-- > 0;
  }

  /** Whether a decision is signed, as far as the message may have it verified. @param ring the id of the ring */
  isGenuine(ring: string, value: Ownership, from: PeerName): boolean {
    return !this.#forged.has(value) && this.admit() && this.isSigned(ring, value, from);
  }

  /** Whether a decision is signed by the peer that it names. @param from the peer that sent it, which a forgery is counted for */
  isSigned(ring: string, value: Ownership, from: PeerName): boolean {
    const { self, signer, peers, rejections } = this.#deps;
    const { deed } = value;
    if (deed === undefined) {
      rejections.note("unsigned", from);
      return false;
    }
    const checked = this.#valid.get(deed);
    if (checked !== undefined && compareOwnership(checked, value) === 0) return true;
    // A peer of the same name with another identity is another peer. The deed's own word counts for peers that are unknown here.
    // An excluded peer's deeds count: nothing shows when it signed one, and without its earlier ones a peer that joins, or that was
    // away, would have another ring. It can give away only what it still owns, which 'weave rmpeer' ends.
    const identity = deed.by === self ? signer.identity : (peers.pinnedIdentity(deed.by) ?? deed.identity);
    if (identity !== deed.identity || !isValid(signer.verify, value, ring, identity)) {
      this.#forged.add(value);
      rejections.note("forged", from);
      return false;
    }
    if (deed.by !== self && peers.identity(deed.by) === undefined && this.#unconfirmed.size < MAX_PEERS)
      this.#unconfirmed.set(deed.by, deed.identity);
    this.#valid.set(deed, value);
    return true;
  }

  /** Returns the peers that have become known since their decisions counted, and have another identity than these. */
  takeImpostors(): [peer: PeerName, claimed: string][] {
    const impostors: [PeerName, string][] = [];
    for (const [peer, claimed] of this.#unconfirmed) {
      const identity = this.#deps.peers.identity(peer);
      if (identity === undefined) continue;
      this.#unconfirmed.delete(peer);
      if (identity !== claimed) impostors.push([peer, claimed]);
    }
    return impostors;
  }
}
