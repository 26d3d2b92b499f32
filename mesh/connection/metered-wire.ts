import { isInnerPart } from "#mesh/connection/channel.js";
import { costOf, type NeighbourBudgets } from "#mesh/connection/neighbour-budget.js";
import type { PeerName } from "#mesh/peer.js";
import type { Signer } from "#mesh/signing.js";
import type { Wire, WireHandlers } from "#mesh/transport.js";
import type { Clock, Timer } from "#src/clock.js";

/**
 * What a neighbour may take in one turn of the event loop, in milliseconds of one core; then all others have theirs. libuv reads up to
 * 2 MB of a socket before it looks at the next one, 64 KB at a time: that is seconds of short messages, and a new peer's handshake takes
 * several turns.
 */
export const TURN_MS = 10;
/**
 * Share of one core that frames over a connection may take for as long as there are any. They are what the connection is for, so they are
 * not part of the neighbour's share, after which it would not be read for up to two seconds: it is read evenly, a turn at a time.
 */
export const FRAME_SHARE = 0.25;

/** The collaborators of a {@link MeteredWire}. */
export interface MeterDeps {
  readonly clock: Clock;
  /** Milliseconds of CPU time of this thread: a busy machine must not make a neighbour's messages dearer. */
  readonly cpuTime: () => number;
  /** What checks the signatures of messages, and counts them. */
  readonly signer: Pick<Signer, "verified">;
  /** Called after each message, with its bytes and whether it is a part of a longer one; its time is charged, too. */
  readonly received?: (bytes: number, isPart: boolean) => void;
  /** Number of messages so far that had frames. */
  readonly carried?: () => number;
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
  /** Messages that the socket had read when the pause began: of one read, which is 64 KB. */
  readonly #waiting: Uint8Array[] = [];
  #handlers: WireHandlers | undefined;
  #paused = false;
  #reported = false;
  /** Milliseconds of one core since the last pause of the connection. */
  #turnMs = 0;
  /** The part of it that was for frames. */
  #frameMs = 0;
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

  get roundTripMs(): number | undefined {
    return this.#wire.roundTripMs;
  }

  listen(handlers: WireHandlers): void {
    this.#handlers = handlers;
    this.#wire.listen({
      message: (bytes) => {
        if (this.#resume === undefined) this.#message(bytes, handlers);
        else this.#waiting.push(bytes);
      },
      closed: (reason) => {
        // The last message may say why.
        for (const bytes of this.#closed ? [] : this.#waiting) this.#message(bytes, handlers);
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
    const { clock, cpuTime, signer, received, carried, budgets, slowed } = this.#deps;
    const peer = this.#peer;
    const [began, verified, frames] = [cpuTime(), signer.verified, carried?.()];
    const isPart = isInnerPart(bytes);
    handlers.message(bytes);
    received?.(bytes.length, isPart);
    if (peer === undefined || this.#closed) return;
    const cost = costOf(bytes.length, cpuTime() - began, signer.verified - verified);
    const hasFrames = carried?.() !== frames;
    const pause = hasFrames ? 0 : budgets.charge(peer, cost, clock.now());
    this.#turnMs += cost;
    if (hasFrames) this.#frameMs += cost;
    // At least the shortest time that a timer has: the event loop looks at all other sockets meanwhile.
    const rest = this.#frameMs * (1 / FRAME_SHARE - 1);
    if (pause > 0 || this.#turnMs >= TURN_MS) this.#pauseFor(Math.max(1, pause, rest));
    if (pause === 0) return;
    if (!this.#reported) slowed(peer);
    this.#reported = true;
  }

  #pauseFor(ms: number): void {
    if (!this.#paused) this.#wire.pause();
    this.#paused = true;
    this.#resume?.cancel();
    this.#resume = this.#deps.clock.after(ms, () => this.#continue());
  }

  /** Handles the messages that wait, as many as one turn has time for; after the last one the wire is read again. */
  #continue(): void {
    this.#resume = undefined;
    this.#turnMs = this.#frameMs = 0;
    let next = 0;
    while (next < this.#waiting.length && this.#resume === undefined && !this.#closed)
      this.#message(this.#waiting[next++], this.#handlers!);
    this.#waiting.splice(0, next);
    if (this.#resume === undefined) this.#read();
  }

  #read(): void {
    this.#paused = false;
    this.#wire.resume();
  }

  #end(): void {
    this.#closed = true;
    this.#waiting.length = 0;
    this.#resume?.cancel();
    this.#resume = undefined;
    // What the other end has sent last must still be read, for the end of the connection to be noticed.
    if (this.#paused) this.#read();
  }
}
