import type { PeerName } from "#mesh/peer.js";
import type { DatapathEvent } from "#router/datapath/protocol.js";
import { Emitter } from "#src/emitter.js";

/**
 * Events between parts of the router that depend on each other. The emitter is created before these parts, so that none needs
 * a reference to a part that does not exist yet.
 */
export interface RouterEvents {
  /** An event of a frame thread. */
  frames: [event: DatapathEvent];
  /** Routes or connections of the mesh have changed. */
  routes: [];
  /** A peer has become unreachable. */
  suspended: [peer: PeerName];
  /** A peer was dropped after it had been unreachable for a long time. */
  forgotten: [peer: PeerName];
}

export class RouterEmitter extends Emitter<RouterEvents> {}
