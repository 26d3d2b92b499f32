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
  /** Our own address of the connection: the one by which the other end reaches us. */
  readonly localHost: string;
  /** Where the other end listens, when we dialled it. */
  readonly remotePort: number | undefined;
  readonly encrypted: boolean;
  /** A secret that only both ends of this connection have. */
  readonly secret: Uint8Array;
  /**
   * Carries a message to the other end's overlay, in order.
   *
   * @param sent called when the message has left this process, or never will
   */
  send(message: Uint8Array, sent?: () => void): void;
  /** Frames pass both ways. Repeated calls do nothing. */
  established(): void;
  /**
   * The overlay has no answers of its own from the other end: the connection itself must show that the other end is there
   * (true); or it has them again (false). Repeated calls do nothing.
   */
  doubt(doubtful: boolean): void;
}

export interface OverlayConnection {
  /** A message of the other end's overlay. @throws when it is malformed */
  receive(message: Uint8Array): void;
  /** By which of its ways frames travel now; for status. */
  readonly name: string;
  /** For status, beside the name: `mtu=1394` and the like. */
  attributes(): Readonly<Record<string, string | number | boolean>>;
  stop(): void;
}
