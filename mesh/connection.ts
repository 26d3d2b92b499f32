import { Channel, type ChannelEffect, type ChannelOptions, type Hello } from "#mesh/channel.js";
import { decodeMessage, encodeMessage, type Message } from "#mesh/messages.js";
import type { Transport as Secured } from "#mesh/noise.js";
import type { OverlayConnection } from "#mesh/overlay.js";
import { type PeerLink, visible } from "#mesh/peer.js";
import type { Wire } from "#mesh/transport.js";
import { type Clock, every, type Timer } from "#src/clock.js";
import { textOf, WeaveError } from "#src/errors.js";

/** As the original: one heartbeat may be lost, two in a row end the connection. */
export const HEARTBEAT_MS = 30_000;
export const SILENCE_MS = 60_000;
/** The handshake is five short messages. */
export const HANDSHAKE_MS = 10_000;
/** Past this a neighbour is too slow for gossip; it gets the whole state when it has caught up. */
export const CONGESTED_BYTES = 1 << 20;

/**
 * One connection to a neighbour.
 *
 *   handshaking ──opened──▶ pending ──overlay passes frames──▶ established
 *        └────────────────────┴──────────────┴──▶ closed (final)
 */
export type ConnectionState = "handshaking" | "pending" | "established" | "closed";

export interface ConnectionEvents {
  opened(connection: Connection, secured: Secured): void;
  message(connection: Connection, message: Message): void;
  /** An authentic message made no sense. */
  malformed(connection: Connection, error: unknown): void;
  /** Final. `error` says why. */
  closed(connection: Connection, error: Error): void;
}

export class Connection {
  readonly outbound: boolean;
  /** The address that was dialled; undefined for an inbound connection. */
  readonly dialled: string | undefined;
  readonly wire: Wire;
  /** Known from `pending` on. */
  remote: Hello | undefined;
  overlay: OverlayConnection | undefined;
  encrypted = true;
  /** The neighbour missed gossip on these channels while it was too slow. */
  readonly behind = new Set<string>();

  readonly #clock: Clock;
  readonly #channel: Channel;
  readonly #events: ConnectionEvents;
  readonly #timers: Timer[] = [];
  #state: ConnectionState = "handshaking";
  #heard: number;

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
    this.#heard = clock.now();
  }

  get state(): ConnectionState {
    return this.#state;
  }

  start(): void {
    this.wire.listen({
      message: (bytes) => {
        this.#heard = this.#clock.now();
        this.#apply(this.#channel.receive(bytes));
      },
      closed: (reason) => this.close(new WeaveError("WEAVE_CONNECTION", reason)),
    });
    this.#timers.push(
      this.#clock.after(HANDSHAKE_MS, () => {
        if (this.#state === "handshaking")
          this.close(new WeaveError("WEAVE_CONNECTION", "the handshake took too long"));
      }),
      every(this.#clock, HEARTBEAT_MS, () => {
        if (this.#clock.now() - this.#heard >= SILENCE_MS)
          this.close(new WeaveError("WEAVE_CONNECTION", "timed out waiting for a heartbeat"));
        else this.send({ kind: "heartbeat" });
      }),
    );
    if (this.outbound) this.#apply(this.#channel.start());
  }

  get congested(): boolean {
    return this.wire.buffered > CONGESTED_BYTES;
  }

  /** @param sent called when the message has left this process, or never will */
  send(message: Message, sent?: () => void): void {
    if (this.#state === "closed" || this.#channel.state !== "open") return sent?.();
    const effects = this.#channel.send(encodeMessage(message));
    const last = effects.at(-1);
    if (last?.do !== "send") return this.#apply(effects);
    this.#apply(effects.slice(0, -1));
    this.wire.send(last.bytes, sent);
  }

  established(): void {
    if (this.#state === "pending") this.#state = "established";
  }

  /** This end's view, as it is gossiped. */
  link(): PeerLink {
    return {
      to: this.remote!.name,
      address: this.wire.remoteAddress,
      outbound: this.outbound,
      established: this.#state === "established",
    };
  }

  /** Ends the connection and, where it is open, tells the other end why. Repeated calls do nothing. */
  close(error: Error): void {
    if (this.#state === "closed") return;
    if (this.#channel.state === "open") {
      const code = error instanceof WeaveError ? error.code : "WEAVE_CONNECTION";
      this.send({ kind: "bye", code, text: textOf(error).slice(0, 512) });
    }
    this.#state = "closed";
    for (const timer of this.#timers) timer.cancel();
    this.overlay?.stop();
    this.wire.close();
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
          this.#state = "pending";
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
    let message: Message;
    try {
      message = decodeMessage(bytes);
    } catch (error) {
      // The connection itself is sound, as the cipher has just shown.
      this.#events.malformed(this, error);
      return;
    }
    if (message.kind === "bye") {
      this.close(new WeaveError("WEAVE_CONNECTION", visible(message.text)));
      return;
    }
    if (message.kind !== "heartbeat") this.#events.message(this, message);
  }
}
