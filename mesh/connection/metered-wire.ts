import { isInnerPart } from "#mesh/connection/channel.js";
import { costOf, type NeighbourBudgets } from "#mesh/connection/neighbour-budget.js";
import type { PeerName } from "#mesh/peer.js";
import type { Signer } from "#mesh/signing.js";
import type { Wire, WireHandlers } from "#mesh/transport.js";
import type { Clock, Timer } from "#src/clock.js";

/**
 * What a neighbour may take in one turn of the event loop, in milliseconds of one core; then all others have theirs. libuv reads up to
 * 2 MB of a socket before it looks at the next one: that is seconds of short messages, and a new peer's handshake takes several turns.
 */
export const TURN_MS = 10;

/** The collaborators of a {@link MeteredWire}. */
export interface MeterDeps {
  readonly clock: Clock;
  /** Milliseconds of CPU time of this thread: a busy machine must not make a neighbour's messages dearer. */
  readonly cpuTime: () => number;
  /** What checks the signatures of messages, and counts them. */
  readonly signer: Pick<Signer, "verified">;
  /** Called after each message, with its bytes and whether it is a part of a longer one; its time is charged, too. */
  readonly received?: (bytes: number, isPart: boolean) => void;
  readonly budgets: NeighbourBudgets;
  /** Called when the connection is not read for a time, for the first time. */
  readonly slowed: (peer: PeerName) => void;
}

/** A wire whose messages are charged to a neighbour. A neighbour that exceeds its share is read more slowly: TCP slows its sender. */
export class MeteredWire implements Wire {
  readonly #wire: Wire;
  readonly #deps: MeterDeps;
  #peer: PeerName | undefined;
  #resume: Timer | undefined;
  #reported = false;
  /** Milliseconds of one core since the connection was read anew. */
  #turnMs = 0;
  #closed = false;

  constructor(wire: Wire, deps: MeterDeps) {
    this.#wire = wire;
    this.#deps = deps;
  }

  /** Names the neighbour that the handshake has authenticated. Until then nothing is charged: handshakes have limits of their own. */
  charge(peer: PeerName): void {
    this.#peer = peer;
  }

  get remoteAddress(): string {
    return this.#wire.remoteAddress;
  }
  get localAddress(): string {
    return this.#wire.localAddress;
  }
  get buffered(): number {
    return this.#wire.buffered;
  }
  get received(): number {
    return this.#wire.received;
  }
  get quietMs(): number | undefined {
    return this.#wire.quietMs;
  }

  listen(handlers: WireHandlers): void {
    this.#wire.listen({
      message: (bytes) => this.#message(bytes, handlers),
      closed: (reason) => {
        this.#end();
        handlers.closed(reason);
      },
    });
  }

  send(bytes: Uint8Array, sent?: () => void): void {
    this.#wire.send(bytes, sent);
  }
  close(): void {
    this.#end();
    this.#wire.close();
  }
  terminate(): void {
    this.#end();
    this.#wire.terminate();
  }
  pause(): void {
    this.#wire.pause();
  }
  resume(): void {
    this.#wire.resume();
  }

  #message(bytes: Uint8Array, handlers: WireHandlers): void {
    const { clock, cpuTime, signer, received, budgets, slowed } = this.#deps;
    const peer = this.#peer;
    const [began, verified] = [cpuTime(), signer.verified];
    const isPart = isInnerPart(bytes);
    handlers.message(bytes);
    received?.(bytes.length, isPart);
    if (peer === undefined || this.#closed) return;
    const cost = costOf(bytes.length, cpuTime() - began, signer.verified - verified);
    const pause = budgets.charge(peer, cost, clock.now());
    this.#turnMs += cost;
    if (pause === 0) {
      if (this.#turnMs >= TURN_MS && this.#resume === undefined) this.#pauseFor(0);
      return;
    }
    this.#pauseFor(pause);
    if (!this.#reported) slowed(peer);
    this.#reported = true;
  }

  /** Messages that had arrived already may still come, and prolong the pause. */
  #pauseFor(ms: number): void {
    if (this.#resume === undefined) this.#wire.pause();
    this.#resume?.cancel();
    this.#resume = this.#deps.clock.after(ms, () => {
      this.#resume = undefined;
      this.#turnMs = 0;
      this.#wire.resume();
    });
  }

  #end(): void {
    this.#closed = true;
    if (this.#resume === undefined) return;
    this.#resume.cancel();
    this.#resume = undefined;
    // What the other end has sent last must still be read, for the end of the connection to be noticed.
    this.#wire.resume();
  }
}
