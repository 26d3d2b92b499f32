import type { Connection } from "#mesh/connection/connection.js";
import type { SlowedNeighbour } from "#mesh/connection/neighbour-budget.js";
import type { WrongPasswords } from "#mesh/connection/password-guesses.js";
import type { AttemptStatus, DialTarget } from "#mesh/dialling/schedule.js";
import type { ChannelTraffic } from "#mesh/gossip-traffic.js";
import type { KeyPair } from "#mesh/handshake/noise.js";
import type { Overlay } from "#mesh/overlay.js";
import type { PeerName, PeerRecord } from "#mesh/peer.js";
import type { RefusalReason, Refused } from "#mesh/refusals.js";
import type { OrderStore } from "#mesh/rekey/options.js";
import type { SecretRing } from "#mesh/secrets.js";
import type { Signer } from "#mesh/signing.js";
import type { Dial, Resolve } from "#mesh/transport.js";
import type { Trust } from "#mesh/trust/trust.js";
import type { Clock } from "#src/clock.js";
import type { Log } from "#src/log.js";
import type { Random } from "#src/random.js";

/** Options and collaborators of a mesh, among them all I/O, time and randomness. */
export interface MeshOptions {
  readonly name: PeerName;
  readonly nickname: string;
  /** Grows with each start. */
  readonly incarnation: number;
  readonly staticKey: KeyPair;
  /** The identity of this peer. */
  readonly signer: Signer;
  /** The secrets of the network, derived from its password. */
  readonly secrets: SecretRing;
  /** Where orders to change the secret are kept; undefined: in memory. */
  readonly orders?: OrderStore;
  /** Which identity each name belongs to. */
  readonly trust: Trust;
  /** TCP port of this peer, and UDP port of its frames. */
  readonly port: number;
  /** Whether addresses that other peers report are dialled. */
  readonly discovery: boolean;
  /** Maximum number of connections; 0 for no limit. */
  readonly connectionLimit: number;
  /** Whether frames to and from a host may be unencrypted, if the other end agrees. */
  readonly clear: (remoteHost: string) => boolean;
  readonly overlay: Overlay;
  readonly dial: Dial;
  readonly resolve: Resolve;
  /** Addresses of this host: they are not dialled when another peer reports them. */
  readonly ownAddresses: () => ReadonlySet<string>;
  readonly clock: Clock;
  /** Milliseconds of CPU time of this thread, by which neighbours are charged; by default the clock's. */
  readonly cpuTime?: () => number;
  /**
   * Called after each message on a connection, with its bytes and whether it is a part of a longer one. Its time is charged to the
   * neighbour: it may free memory.
   */
  readonly received?: (bytes: number, isPart: boolean) => void;
  readonly random: Random;
  readonly log: Log;
  readonly events: MeshEvents;
}

/** Callbacks of a mesh. */
export interface MeshEvents {
  /** Called when routes may have changed. */
  routes(): void;
  /** Called when a peer has become unreachable; its data is kept. */
  suspended(peer: PeerName): void;
  /** Called when a suspended peer is reachable again. */
  resumed(peer: PeerName): void;
  /** Called when a peer was unreachable for so long that its data is dropped. */
  forgotten(peer: PeerName): void;
  /** Called when this peer has a new incarnation. It must be persisted: the next start needs a higher one. */
  incarnation(incarnation: number): void;
  /** Called when the operator's targets have changed. They must be persisted. */
  targets(targets: readonly DialTarget[]): void;
}

/** A snapshot of a mesh for status, report and metrics. */
export interface MeshStatus {
  readonly self: PeerRecord;
  /** Reachable peers, this one among them. */
  readonly peers: readonly PeerRecord[];
  /** Known peers that are unreachable. */
  readonly suspended: readonly PeerRecord[];
  readonly connections: readonly Connection[];
  readonly attempts: readonly AttemptStatus[];
  readonly targets: readonly DialTarget[];
  /** Descriptions of names and identities that two peers have. */
  readonly conflicts: readonly string[];
  /** Those of this peer's own name and identity. */
  readonly ownConflicts: readonly string[];
  /** Inbound connections that were refused recently. */
  readonly refused: readonly Refused[];
  /** Number of refused inbound connections since the start, by reason. */
  readonly refusals: Readonly<Record<RefusalReason, number>>;
  /** What was sent and received on each gossip channel. */
  readonly gossip: readonly ChannelTraffic[];
  /** The neighbours whose connection was read more slowly, because their messages took more than their share. */
  readonly slowed: readonly SlowedNeighbour[];
  /** Milliseconds for which connections were not read since the start. */
  readonly pausedMs: number;
  /** Wrong passwords of inbound connections: their number since the start, and the recent ones by source. */
  readonly wrongPasswords: { readonly total: number; readonly sources: readonly WrongPasswords[] };
  /** Number of ended connections since the start. */
  readonly terminations: number;
  /** Number of rejected messages since the start: malformed ones, and those that a gossiper could not merge. */
  readonly quarantined: number;
}
