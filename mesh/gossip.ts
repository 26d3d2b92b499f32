import { createHash } from "node:crypto";
import type { PeerName } from "#mesh/peer.js";
import type { Clock } from "#src/clock.js";

/** By a notice a neighbour knows whether it lacks news, and can request them from the peer that has sent it. */
export interface Notice {
  readonly notice: Uint8Array;
  /** What the news are about, usually their origin: of two notices of one subject only the later is sent. */
  readonly subject: string;
}

/** News to be passed on. Without a notice the payload goes to some neighbours, known or not. */
export interface News extends Partial<Notice> {
  readonly payload: Uint8Array;
}

/**
 * The receiving end of a gossip channel. It must validate payloads, which come from other peers. An error that it throws is
 * logged and counted, and does not close the connection. `neighbour` is the peer that delivered the payload; `from` is the
 * peer that sent it first, by the word of those that relayed it.
 */
export interface Gossiper {
  onUnicast(from: PeerName, payload: Uint8Array, neighbour: PeerName): void;
  onBroadcast(from: PeerName, payload: Uint8Array, neighbour: PeerName): void;
  /**
   * Merges a gossiped payload.
   *
   * @returns the new part of it, which is passed on; undefined if all of it was known; an empty list if it was neither known nor
   *   is passed on, because it cannot be merged yet for example
   */
  onGossip(from: PeerName, payload: Uint8Array, neighbour: PeerName): Uint8Array | readonly News[] | undefined;
  /** Handles a notice of news that a neighbour has. @returns whether they are lacking here, and were requested from the neighbour */
  onNotice?(notice: Uint8Array, neighbour: PeerName): boolean;
  /**
   * A connection with a neighbour has opened, and nothing was sent over it yet. What was requested of the neighbour, or sent to
   * it in part, over an earlier connection may be lost. The states are exchanged next.
   */
  connected?(neighbour: PeerName): void;
  /** Returns the state, or a digest of it, for new neighbours and for repair; undefined if it is empty. */
  state(): Uint8Array | undefined;
}

/** The sending end of a gossip channel. */
export interface GossipChannel {
  /** Sends to one peer, hop by hop. @returns false if there is no route, or the next hop is too slow */
  unicast(to: PeerName, payload: Uint8Array): boolean;
  /** Sends to all peers, along the broadcast tree. @param payload at most {@link MAX_RELAYED_BYTES} */
  broadcast(payload: Uint8Array): void;
  /**
   * Sends to some neighbours, which pass on the part that is new to them. Unlike a broadcast it survives the loss of links.
   *
   * @param notice makes it fewer bytes: the payload goes along a tree, and the notice beside the tree
   */
  gossip(payload: Uint8Array, notice?: Notice): void;
}

/** Time for which a payload counts as a repetition: one repair interval. A later one is a repair, and is passed on again. */
const REMEMBER_MS = 30_000;
/** Maximum number of payloads whose hash is kept. */
const REMEMBERED = 4_096;
/**
 * Longest payload, in bytes, that is passed on to many peers before anything has looked at it: that of a replica. A neighbour's message of
 * 10 MB would take as much for each other neighbour, in the sockets' buffers, and so on at each of them.
 */
export const MAX_RELAYED_BYTES = 65_536;

/** Makes the gossiper of a channel that this peer does not use. It passes each gossiped payload on once. */
export function relayOnlyGossiper(clock: Clock): Gossiper {
  const seen = new Map<string, number>();
  return {
    onUnicast() {},
    onBroadcast() {},
    onGossip(_from, payload) {
      if (payload.length > MAX_RELAYED_BYTES) return undefined;
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
