import type { Connection } from "#mesh/connection/connection.js";

/** A source of gossip: the topology, or a channel. */
export interface GossipSource {
  /** Sends the source's state to a neighbour, or a digest by which the neighbour can request it. */
  sendState(to: Connection): void;
}

/** A source whose news have notices. */
export interface NewsSource extends GossipSource {
  /** The name of its channel. */
  readonly name: string;
}
