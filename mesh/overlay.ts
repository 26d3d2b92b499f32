import type { Hello } from "#mesh/channel.js";

/**
 * How frames travel to a neighbour. The mesh brings the two ends together and carries the overlay's own messages over the
 * secured connection; the overlay says when frames pass in both directions.
 */
export interface Overlay {
  readonly name: string;
  open(link: OverlayLink): OverlayConnection;
}

/** What the mesh gives an overlay for one connection. */
export interface OverlayLink {
  readonly remote: Hello;
  /** We dialled. */
  readonly outbound: boolean;
  readonly remoteHost: string;
  /** Where the other end listens, when we dialled it. */
  readonly remotePort: number | undefined;
  readonly encrypted: boolean;
  /** A secret that only both ends of this connection have. */
  readonly secret: Uint8Array;
  /** Carries a message to the other end's overlay, in order. */
  send(message: Uint8Array): void;
  /** Frames pass both ways. */
  established(): void;
  /** Frames do not pass, or no longer: ends the connection. */
  failed(error: Error): void;
}

export interface OverlayConnection {
  /** A message of the other end's overlay. @throws when it is malformed */
  receive(message: Uint8Array): void;
  /** For status, beside the overlay's name: `mtu=1394` and the like. */
  attributes(): Readonly<Record<string, string | number | boolean>>;
  stop(): void;
}
