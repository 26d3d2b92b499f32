import type { PeerName } from "#mesh/peer.js";
import type { Rejections } from "#mesh/rejections.js";
import type { Member } from "#mesh/rekey/acknowledgements.js";
import type { LaunchedAs, RekeyState } from "#mesh/rekey/ledger.js";
import type { NamedPeer, RejectedOrder, RekeyOrder, RekeyRejection } from "#mesh/rekey/order.js";
import type { SecretRing } from "#mesh/secrets.js";
import type { Signer } from "#mesh/signing.js";
import type { Clock } from "#src/clock.js";
import type { Log } from "#src/log.js";
import type { Random } from "#src/random.js";

/** A neighbour with an open connection. */
export interface RekeyNeighbour {
  readonly identity: string;
  readonly name: PeerName;
  /** The peer as log and status name it. */
  readonly text: string;
  send(payload: Uint8Array): void;
}

/** The part of the mesh that a {@link Rekey} uses. */
export interface RekeyNetwork {
  neighbours(): Iterable<RekeyNeighbour>;
  /** The reachable peers, without this one. */
  members(): Iterable<Member>;
  /** The time of the network, in milliseconds since the Unix epoch. */
  time(): number;
}

/** Peers that may not return: see mesh/trust/trust.ts. */
export interface RekeyExclusions {
  /** Also of an identity that has ended by itself. */
  isExcluded(identity: string): boolean;
  /** Excludes an identity for ever, and ends its connections. @param by the peer that gave the order, for the log */
  exclude(identity: string, by: string | undefined): void;
  /** The identity that a name is bound to. */
  identityOf(name: PeerName): string | undefined;
}

/** Where orders are kept. */
export interface OrderStore {
  /** The state of the last run, if the secret of this launch is one of it. */
  readonly state: RekeyState | undefined;
  /** Saves a state before another peer learns it. */
  save(state: RekeyState): void;
}

/** The collaborators of a {@link Rekey}. */
export interface RekeyDeps {
  readonly self: { readonly name: PeerName; readonly nickname: string };
  readonly signer: Signer;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly secrets: SecretRing;
  readonly exclusions: RekeyExclusions;
  readonly network: RekeyNetwork;
  readonly store: OrderStore;
}

/** What an operator orders. */
export interface RekeyRequest {
  /** The new secret; undefined: no password. */
  readonly key: Uint8Array | undefined;
  readonly excluded: readonly NamedPeer[];
  readonly deadlineMs: number;
  /** Time for which peers that were away may use the earlier secret. */
  readonly acceptEarlierMs: number;
}

/** The state of the change of the network's secret, for status and report. */
export interface RekeyStatus {
  /** The order in force; undefined: the secret is that of the launch. */
  readonly order: RekeyOrder | undefined;
  /** What the secret of the launch is, compared with the one in force. */
  readonly launchedAs: LaunchedAs;
  /** The neighbour that passed it on; undefined: this peer gave it, or it is from an earlier run. */
  readonly via: string | undefined;
  /** Peers that have not said that they have the secret. */
  readonly lacking: readonly Member[];
  /** Time until when the earlier secret is accepted at the latest, in ms since the epoch; undefined: it is not. */
  readonly earlierUntil: number | undefined;
  /** Excluded peers that may know the secret in force: two orders were given at the same time. */
  readonly doubtful: readonly NamedPeer[];
  /** An order that waits because there were too many. */
  readonly waiting: RekeyOrder | undefined;
  /** Orders and acknowledgements that were rejected, by reason and neighbour. */
  readonly rejections: Rejections<RekeyRejection>;
  /** The last rejected order. */
  readonly lastRejected: RejectedOrder | undefined;
}
