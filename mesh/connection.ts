import { Channel, type ChannelEffect, type ChannelOptions, type Hello } from "#mesh/channel.js";
import { Liveness, type LivenessEffect } from "#mesh/liveness.js";
import { decodeMessage, encodeMessage, type MeshMessage } from "#mesh/messages.js";
import type { HandshakeResult } from "#mesh/noise.js";
import type { OverlayConnection } from "#mesh/overlay.js";
import { keyStart, type PeerLink, visible } from "#mesh/peer.js";
import { Refusal } from "#mesh/refusals.js";
import type { Wire } from "#mesh/transport.js";
import type { Clock, Timer } from "#src/clock.js";
import { errorText, WeaveError } from "#src/errors.js";

/** The handshake is five short messages. */
export const HANDSHAKE_MS = 10_000;
/** Past this a neighbour is too slow for gossip; it gets the whole state when it has caught up. */
export const CONGESTED_BYTES = 1 << 20;

/**
 * One connection to a neighbour.
 *
 *   handshaking ──opened──▶ pending ──overlay passes frames──▶ established
 *        │                     │  ◀──other end is silent────────   │
 *        └─────────────────────┴──────────────▶ closed (final) ◀───┘
 */
export type ConnectionState = "handshaking" | "pending" | "established" | "closed";

export interface ConnectionEvents {
  opened(connection: Connection, secured: HandshakeResult): void;
  message(connection: Connection, message: MeshMessage): void;
  /** An authentic message is malformed. */
  malformed(connection: Connection, error: unknown): void;
  /** The other end no longer answers, or answers again: {@link Connection.state} may have changed. */
  responsive(connection: Connection, responsive: boolean): void;
  /** Final. `error` is the reason. */
  closed(connection: Connection, error: Error): void;
}

export class Connection {
  readonly outbound: boolean;
  /** The address that was dialled; undefined for an inbound connection. */
  readonly dialled: string | undefined;
  readonly wire: Wire;
  /** Known from `pending` on. */
  remote: Hello | undefined;
  /** That both ends have, best first; known from `pending` on. */
  carriers: readonly string[] = [];
  overlay: OverlayConnection | undefined;
  encrypted = true;

  readonly #clock: Clock;
  readonly #channel: Channel;
  readonly #events: ConnectionEvents;
  readonly #liveness: Liveness;
  #state: "handshaking" | "open" | "closed" = "handshaking";
  /** The overlay passes frames. */
  #passing = false;
  #handshakeTimer: Timer | undefined;
  #wake: Timer | undefined;
  #opened = 0;

  constructor(
    clock: Clock,
    wire: Wire,
    dialled: string | undefined,
    options: ChannelOptions,
    events: ConnectionEvents,
  ) {
    this.#clock = clock;
    this.wire = wire;
    this.dialled = dialled;
    this.outbound = dialled !== undefined;
    this.#events = events;
    this.#channel = new Channel(options);
    this.#liveness = new Liveness(clock.now());
  }

  get state(): ConnectionState {
    if (this.#state !== "open") return this.#state;
    return this.#passing && !this.#liveness.silent ? "established" : "pending";
  }

  /** Whether the other end does not answer. */
  get silent(): boolean {
    return this.#liveness.silent;
  }

  start(): void {
    this.wire.listen({
      message: (bytes) => {
        this.#applyLiveness(this.#liveness.received(this.wire.received, this.#clock.now()));
        this.#apply(this.#channel.receive(bytes));
      },
      closed: (reason) => this.close(new WeaveError("WEAVE_CONNECTION", reason)),
    });
    this.#handshakeTimer = this.#clock.after(HANDSHAKE_MS, () => {
      if (this.#state === "handshaking") this.close(new Refusal("handshake", "the handshake took too long"));
    });
    this.#setTimer();
    if (this.outbound) this.#apply(this.#channel.start());
  }

  /** The other end's clock: its hello's time, and the time since. @param now monotonic */
  remoteTime(now: number): number {
    return this.remote!.clock + (now - this.#opened);
  }

  get congested(): boolean {
    return this.wire.buffered > CONGESTED_BYTES;
  }

  /** @param sent called when the message has left this process, or never will */
  send(message: MeshMessage, sent?: () => void): void {
    if (this.#state === "closed" || this.#channel.state !== "open") return sent?.();
    const effects = this.#channel.send(encodeMessage(message));
    const last = effects.at(-1);
    if (last?.do !== "send") return this.#apply(effects);
    this.#apply(effects.slice(0, -1));
    this.wire.send(last.bytes, sent);
  }

  /** Whether the overlay passes frames both ways. Returns false when that is known already. */
  setPassing(passing: boolean): boolean {
    if (this.#state !== "open" || this.#passing === passing) return false;
    this.#passing = passing;
    return true;
  }

  /** No carrier has proof that the other end is there (true), or one has it again (false). */
  doubt(doubtful: boolean): void {
    this.#applyLiveness(this.#liveness.doubt(doubtful, this.#clock.now()));
    this.#setTimer();
  }

  /** This end's view, as it is gossiped. */
  link(): PeerLink {
    return {
      to: this.remote!.name,
      key: keyStart(this.remote!.key),
      address: this.wire.remoteAddress,
      outbound: this.outbound,
      established: this.state === "established",
    };
  }

  /** Ends the connection; where it is open, the other end receives the reason. Repeated calls do nothing. */
  close(error: Error): void {
    if (this.#state === "closed") return;
    if (this.#channel.state === "open") {
      const code = error instanceof WeaveError ? error.code : "WEAVE_CONNECTION";
      this.send({ kind: "bye", code, text: errorText(error).slice(0, 512) });
    }
    this.#state = "closed";
    this.#handshakeTimer?.cancel();
    this.#wake?.cancel();
    this.overlay?.stop();
    if (this.remote === undefined) this.wire.terminate();
    else this.wire.close();
    this.#events.closed(this, error);
  }

  #apply(effects: readonly ChannelEffect[]): void {
    for (const effect of effects) {
      if (this.#state === "closed") return;
      switch (effect.do) {
        case "send":
          this.wire.send(effect.bytes);
          break;
        case "opened":
          this.#state = "open";
          this.#opened = this.#clock.now();
          this.remote = effect.remote;
          this.#events.opened(this, effect.transport);
          break;
        case "message":
          this.#onMessage(effect.bytes);
          break;
        case "failed":
          this.close(effect.error);
      }
    }
  }

  #onMessage(bytes: Uint8Array): void {
    let message: MeshMessage;
    try {
      message = decodeMessage(bytes);
    } catch (error) {
      // The connection stays: the cipher has just proven it.
      this.#events.malformed(this, error);
      return;
    }
    if (message.kind === "bye") {
      this.close(new WeaveError("WEAVE_CONNECTION", visible(message.text)));
      return;
    }
    if (message.kind === "probe") return this.send({ kind: "heartbeat" });
    if (message.kind !== "heartbeat") this.#events.message(this, message);
  }

  #applyLiveness(effects: readonly LivenessEffect[]): void {
    for (const effect of effects) {
      if (this.#state === "closed") return;
      if (effect === "dead") this.close(new WeaveError("WEAVE_CONNECTION", "timed out waiting for a heartbeat"));
      else if (effect === "silent" || effect === "responsive") this.#events.responsive(this, effect === "responsive");
      else this.send({ kind: effect });
    }
  }

  /** Sets the timer for the next tick of the liveness. */
  #setTimer(): void {
    this.#wake?.cancel();
    if (this.#state === "closed") return;
    const now = this.#clock.now();
    this.#wake = this.#clock.after(Math.max(0, this.#liveness.wakeAt - now), () => {
      this.#applyLiveness(this.#liveness.tick(this.wire, this.#clock.now()));
      this.#setTimer();
    });
  }
}
