import { createHash } from "node:crypto";
import type { PeerName } from "#mesh/peer.js";
import type { Clock } from "#src/clock.js";

/**
 * The receiving end of a named channel. Payloads come from other peers: they are validated by the gossiper. An error that
 * it throws is logged and counted, and never closes a connection.
 */
export interface Gossiper {
  onUnicast(from: PeerName, payload: Uint8Array): void;
  onBroadcast(from: PeerName, payload: Uint8Array): void;
  /** Merges what a neighbour says. Returns what of it was news, to be passed on; undefined when nothing was. */
  onGossip(from: PeerName, payload: Uint8Array): Uint8Array | undefined;
  /** All that is known, for a new neighbour and for repair; undefined when there is nothing. Merging it twice is harmless. */
  state(): Uint8Array | undefined;
}

/** The sending end of a named channel. */
export interface GossipChannel {
  /** To one peer, relayed hop by hop. False: there is no way to it now. */
  unicast(to: PeerName, payload: Uint8Array): boolean;
  /** To all, along the broadcast tree. */
  broadcast(payload: Uint8Array): void;
  /** To some neighbours, who pass on what is news to them: reaches all, whatever links are lost meanwhile. */
  gossip(payload: Uint8Array): void;
}

/** As long as the repair interval: what comes again later is a repair, and is passed on again. */
const REMEMBER_MS = 30_000;
const REMEMBERED = 4_096;

/**
 * Stands in for a channel that this peer has no use for, so that it is relayed all the same: gossip is passed on once.
 */
export function relayOnlyGossiper(clock: Clock): Gossiper {
  const seen = new Map<string, number>();
  return {
    onUnicast() {},
    onBroadcast() {},
    onGossip(_from, payload) {
      const now = clock.now();
      for (const [hash, at] of seen) {
        if (now - at < REMEMBER_MS && seen.size <= REMEMBERED) break;
        seen.delete(hash);
      }
      const hash = createHash("sha256").update(payload).digest("base64");
      if (seen.has(hash)) return undefined;
      seen.set(hash, now);
      return payload;
    },
    state: () => undefined,
  };
}
