import type { GossipChannel, Gossiper } from "#mesh/gossip.js";
import type { KnownPeers, PeerName } from "#mesh/peer.js";
import type { Change } from "#mesh/replica/record-set.js";
import { Replica, type ReplicaDeps } from "#mesh/replica/replica.js";
import { SET_BYTES } from "#mesh/replica/replicas.js";
import { MAC_FORMAT, type MacFields } from "#router/macs/mac-record.js";
import type { MacText } from "#src/mac.js";

/** Name of the gossip channel that carries MACs. */
export const MACS_CHANNEL = "macs";

export interface MacAnnouncementsDeps
  extends Omit<ReplicaDeps<MacFields>, "indexes" | "shareBytes" | "store" | "onChange"> {
  readonly self: PeerName;
  /** Counter that grows with each start of this peer. */
  readonly incarnation: number;
  readonly peers: KnownPeers;
  /** Called when the announcements of a peer have changed. */
  readonly onChange: (change: Change<MacFields>) => void;
}

/**
 * The MACs that hosts have on their bridges, announced by each for its own. They are in memory alone: a router that starts reads them from
 * its bridge.
 */
export class MacAnnouncements {
  readonly #replica: Replica<MacFields>;

  constructor(deps: MacAnnouncementsDeps) {
    this.#replica = new Replica({ ...deps, format: MAC_FORMAT, shareBytes: SET_BYTES.macs });
  }

  /** The receiving end of the channel. */
  get gossiper(): Gossiper {
    return this.#replica;
  }

  /** Sets the sending end of the channel, and gossips the MACs of this host. */
  open(channel: GossipChannel): void {
    this.#replica.open(channel);
  }

  /**
   * Changes the MACs that this host announces.
   *
   * @returns false when there is no room for them, and nothing has changed
   */
  update(put: readonly MacFields[], drop: ReadonlySet<MacText>): boolean {
    return this.#replica.update({ put, drop: ({ mac }) => drop.has(mac) }) !== undefined;
  }

  /** Drops what a peer announced that was unreachable for long. */
  forget(peer: PeerName): void {
    this.#replica.forget(peer);
  }

  stop(): void {
    this.#replica.stop();
  }
}
