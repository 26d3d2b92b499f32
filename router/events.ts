import type { PeerName } from "#mesh/peer.js";
import type { Wire } from "#mesh/transport.js";
import type { DatapathEvent } from "#router/datapath/protocol.js";
import { Emitter } from "#src/emitter.js";

/**
 * Events between parts of the router that need each other. The emitter exists before all of them, so that no part is handed
 * to another one before it is made.
 */
export interface RouterEvents {
  /** A peer has connected. Without a listener the connection is the emitter's to close. */
  wire: [wire: Wire];
  /** Reports of the frame threads. */
  frames: [event: DatapathEvent];
  /** Routes or connections of the mesh have changed. */
  routes: [];
  /** A peer is unreachable now. */
  suspended: [peer: PeerName];
  /** A peer was unreachable for so long that it is dropped. */
  forgotten: [peer: PeerName];
}

export class RouterEmitter extends Emitter<RouterEvents> {}
