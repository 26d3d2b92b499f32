import type { Wire } from "#mesh/transport.js";

/** Maximum number of connections that wait for the end of a start; the peers of further ones dial again. */
const MAX_WAITING = 256;

/**
 * Passes connections of peers to the mesh. Those that arrive during the start wait for its end: peers that were connected before a
 * restart dial as soon as the port is open, and frames wait for them.
 */
export class PeerPort {
  readonly #waiting: Wire[] = [];
  #accept: ((wire: Wire) => void) | undefined;

  /** Handles a new connection. */
  receive(wire: Wire): void {
    if (this.#accept !== undefined) this.#accept(wire);
    else if (this.#waiting.length < MAX_WAITING) this.#waiting.push(wire);
    else wire.terminate();
  }

  /** Ends the wait. @param accept receives the connections that wait, and each later one */
  open(accept: (wire: Wire) => void): void {
    this.#accept = accept;
    for (const wire of this.#waiting.splice(0)) accept(wire);
  }
}
