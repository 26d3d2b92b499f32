import { createHash } from "node:crypto";
import type { PeerName } from "#mesh/peer.js";
import type { Clock } from "#src/clock.js";

/**
 * The receiving end of a named channel. Payloads come from other peers: the gossiper validates them. An error that it throws
 * is logged and counted, and never closes a connection.
 */
export interface Gossiper {
  onUnicast(from: PeerName, payload: Uint8Array): void;
  onBroadcast(from: PeerName, payload: Uint8Array): void;
  /** Merges a payload of a neighbour. @returns the part that was new, which is passed on; undefined if nothing was */
  onGossip(from: PeerName, payload: Uint8Array): Uint8Array | undefined;
  /** The whole state, for a new neighbour and for repair; undefined if it is empty. Merging it twice must be harmless. */
  state(): Uint8Array | undefined;
}

/** The sending end of a named channel. */
export interface GossipChannel {
  /** Sends to one peer, hop by hop. @returns false if there is no route to it now, or the next hop is too slow */
  unicast(to: PeerName, payload: Uint8Array): boolean;
  /** Sends to all peers, along the broadcast tree. */
  broadcast(payload: Uint8Array): void;
  /** Sends to some neighbours, which pass on what is new to them: it reaches all peers, also if links are lost meanwhile. */
  gossip(payload: Uint8Array): void;
}

/** The repair interval: a payload that comes again later is a repair, and is passed on again. */
const REMEMBER_MS = 30_000;
const REMEMBERED = 4_096;

/** The gossiper of a channel that this peer does not use: it passes each payload of gossip on once. */
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
