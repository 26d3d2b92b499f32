import type { Connection } from "#mesh/connection.js";
import type { AttemptStatus, DialTarget } from "#mesh/dial-schedule.js";
import type { KeyPair } from "#mesh/noise.js";
import type { Overlay } from "#mesh/overlay.js";
import type { PeerName, PeerRecord } from "#mesh/peer.js";
import type { RefusalReason, Refused } from "#mesh/refusals.js";
import type { Dial, Resolve } from "#mesh/transport.js";
import type { Clock } from "#src/clock.js";
import type { Log } from "#src/log.js";
import type { Random } from "#src/random.js";

/** Options and collaborators of a mesh: all I/O, time and randomness. */
export interface MeshOptions {
  readonly name: PeerName;
  readonly nickname: string;
  /** Grows with each start. */
  readonly incarnation: number;
  readonly staticKey: KeyPair;
  readonly psk?: Uint8Array;
  /** Our TCP and UDP port. */
  readonly port: number;
  readonly discovery: boolean;
  /** 0: no limit. */
  readonly connectionLimit: number;
  /** Whether frames to and from this address may be unencrypted, if the other end agrees. */
  readonly clear: (remoteHost: string) => boolean;
  readonly overlay: Overlay;
  readonly dial: Dial;
  readonly resolve: Resolve;
  /** IPv4 addresses of this host: they are not dialled when another peer reports them. */
  readonly ownAddresses: () => ReadonlySet<string>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly events: MeshEvents;
}

export interface MeshEvents {
  /** Routes or connections have changed. */
  routes(): void;
  /** The peer is unreachable now; its data is kept. */
  suspended(peer: PeerName): void;
  resumed(peer: PeerName): void;
  /** The peer was unreachable for so long that its data is dropped. */
  forgotten(peer: PeerName): void;
  /** This peer has a later incarnation: to be persisted, so that the next start has a later one still. */
  incarnation(incarnation: number): void;
  /** The operator's targets changed: to be persisted. */
  targets(targets: readonly DialTarget[]): void;
}

export interface MeshStatus {
  readonly self: PeerRecord;
  readonly peers: readonly PeerRecord[];
  readonly suspended: readonly PeerRecord[];
  readonly connections: readonly Connection[];
  readonly attempts: readonly AttemptStatus[];
  readonly targets: readonly DialTarget[];
  readonly conflicts: readonly string[];
  /** Connections of other peers that were refused recently. */
  readonly refused: readonly Refused[];
  readonly refusals: Readonly<Record<RefusalReason, number>>;
  readonly terminations: number;
  /** Messages that were rejected: malformed, or a gossiper failed to merge them. */
  readonly quarantined: number;
}
