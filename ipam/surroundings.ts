import type { Subnet } from "#ipam/ring/subnet.js";
import type { Message } from "#ipam/wire/ipam-message.js";
import type { KnownPeers } from "#mesh/peer.js";
import { peerText as knownPeerText, type PeerName } from "#mesh/peer.js";
import type { Clock } from "#src/clock.js";
import type { Log } from "#src/log.js";
import type { Random } from "#src/random.js";
import type { Store } from "#src/store.js";

/** What the parts of an allocator share: everything that touches the world is given to it. */
export interface Surroundings {
  readonly self: PeerName;
  /** The range that the whole network allocates from. */
  readonly range: Subnet;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly store: Store;
  readonly peers: KnownPeers;
  /** Milliseconds since the Unix epoch as the network has it: what other peers' counters are judged by. */
  readonly time: () => number;
  /** False: there is no way to the peer now. */
  unicast(to: PeerName, message: Message): boolean;
  gossip(message: Message): void;
}

/** `name(nickname)`, as status and messages show a peer. */
export function peerText({ peers }: Pick<Surroundings, "peers">, peer: PeerName): string {
  return knownPeerText({ name: peer, nickname: peers.nickname(peer) ?? "?" });
}

/** Unix time in whole seconds. */
export const unixSeconds = (clock: Clock): number => Math.floor(clock.wall() / 1_000);

/** A span of time as people say it. */
export function durationText(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 120 ? `${minutes} min` : `${Math.round(minutes / 60)} h`;
}
