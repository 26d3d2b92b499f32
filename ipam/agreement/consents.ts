import type { RejectedMessages } from "#ipam/agreement/rejected-messages.js";
import type { Consent, TakeoverKey } from "#ipam/ring/consent.js";
import type { KnownPeers, PeerName } from "#mesh/peer.js";
import type { Signer } from "#mesh/signing.js";
import { limitSize } from "#src/limit-size.js";

/** Maximum number of takeovers whose consents are kept; those of the oldest are dropped first. */
const MAX_TAKEOVERS = 256;
/** Maximum number of agreements in a message that are verified: about 50 ms. The others come again, with those that are known by then. */
const MAX_CHECKS = 500;

export interface ConsentsDeps {
  readonly self: PeerName;
  readonly signer: Signer;
  readonly peers: KnownPeers;
  readonly rejections: RejectedMessages;
}

/** Who has agreed to which takeover. A peer agrees when the removed peer is not reachable from it, and signs that. */
export class Consents {
  readonly #deps: ConsentsDeps;
  readonly #agreed = new Map<string, Map<PeerName, Uint8Array>>();

  constructor(deps: ConsentsDeps) {
    this.#deps = deps;
  }

  /** Signs this peer's own agreement. @param ring the id of the ring */
  give(ring: string, takeover: TakeoverKey): void {
    const { self, signer } = this.#deps;
    const agreed = this.#of(takeover);
    if (!agreed.has(self)) agreed.set(self, signer.sign("ipam-agreement", signedBytes(ring, takeover)));
  }

  /** Records other peers' agreements that are signed. @param from the peer that sent them */
  receive(ring: string, consents: readonly Consent[], from: PeerName): void {
    const { self, signer, peers, rejections } = this.#deps;
    let checks = 0;
    for (const { agreed, ...takeover } of consents) {
      const known = this.#of(takeover);
      for (const [peer, signature] of agreed) {
        if (peer === self || known.has(peer)) continue;
        const identity = peers.identity(peer);
        // An unknown peer's agreement counts for nothing.
        if (identity === undefined) continue;
        if (checks++ >= MAX_CHECKS) return;
        if (signer.verify(identity, "ipam-agreement", signedBytes(ring, takeover), signature))
          known.set(peer, Uint8Array.from(signature));
        else rejections.note("forged", from);
      }
    }
  }

  /** Returns the peers that have agreed to a takeover, without the one that decided it. */
  to(takeover: TakeoverKey): ReadonlySet<PeerName> {
    return new Set(this.#agreed.get(keyOf(takeover))?.keys());
  }

  /** Returns the agreements to takeovers, to be sent. */
  about(takeovers: readonly TakeoverKey[]): Consent[] {
    const keys = new Map(
      takeovers.map(({ owner, from, since }) => [keyOf({ owner, from, since }), { owner, from, since }]),
    );
    return [...keys].flatMap(([key, takeover]) => {
      const agreed = this.#agreed.get(key);
      return agreed === undefined ? [] : [{ ...takeover, agreed: [...agreed] }];
    });
  }

  #of(takeover: TakeoverKey): Map<PeerName, Uint8Array> {
    const key = keyOf(takeover);
    let agreed = this.#agreed.get(key);
    if (agreed === undefined) {
      agreed = new Map();
      this.#agreed.set(key, agreed);
      limitSize(this.#agreed, MAX_TAKEOVERS);
    }
    return agreed;
  }
}

const keyOf = ({ owner, from, since }: TakeoverKey): string => `${owner} ${from} ${since}`;

const signedBytes = (ring: string, { owner, from, since }: TakeoverKey): Uint8Array =>
  Buffer.from(JSON.stringify([ring, owner, from, since]));
