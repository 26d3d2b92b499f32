import type { AssemblyBudget } from "#mesh/connection/assembly-budget.js";
import { Channel, type ChannelEffect } from "#mesh/connection/channel.js";
import { Liveness, type LivenessEffect } from "#mesh/connection/liveness.js";
import type { GossipTraffic } from "#mesh/gossip-traffic.js";
import type { Handshake, HandshakeEffect } from "#mesh/handshake/handshake.js";
import type { Hello } from "#mesh/handshake/hello.js";
import type { NoiseResult } from "#mesh/handshake/noise.js";
import { decodeMessage, encodeMessage, MAX_BYE_TEXT, type MeshMessage } from "#mesh/messages.js";
import type { OverlayConnection } from "#mesh/overlay.js";
import { keyStart, type PeerLink } from "#mesh/peer.js";
import { Refusal } from "#mesh/refusals.js";
import type { NetworkSecret } from "#mesh/secrets.js";
import type { Wire } from "#mesh/transport.js";
import type { Clock, Timer } from "#src/clock.js";
import { errorText, WeaveError } from "#src/errors.js";
import type { Random } from "#src/random.js";
import { printableText } from "#src/text.js";

/** Limit for a handshake of at most eight short messages. */
export const HANDSHAKE_MS = 10_000;
/** Bytes buffered for a neighbour above which it gets no gossip. When it has caught up, it gets the whole state. */
const CONGESTED_BYTES = 1 << 20;

/**
 * Bytes buffered for a neighbour above which nothing more is sent to it, until it reads: a peer that asks and does not read the answers must
 * not fill our memory. Far more than {@link CONGESTED_BYTES}, so that no sound neighbour comes here; what it misses, it requests again.
 */
const MOST_UNSENT_BYTES = 4 << 20;
/** The same in messages: short ones take a multiple of their bytes, some 4 KB each, while they wait. */
const MOST_UNSENT = 2_048;

/**
 * One connection to a neighbour.
 *
 *   handshaking ──opened──▶ pending ──overlay passes frames──▶ established
 *        │                     │  ◀──other end is silent────────   │
 *        └─────────────────────┴──────────────▶ closed (final) ◀───┘
 */
export type ConnectionState = "handshaking" | "pending" | "established" | "closed";

/** Callbacks of a connection. */
export interface ConnectionEvents {
  /** The handshake has succeeded. */
  opened(connection: Connection, secured: NoiseResult): void;
  message(connection: Connection, message: MeshMessage): void;
  /** The other end has sent a message that is malformed, or too long to be kept. */
  malformed(connection: Connection, error: unknown): void;
  /** The other end has ceased to answer, or answers again: {@link Connection.state} may have changed. */
  responsive(connection: Connection, responsive: boolean): void;
  /** The connection has ended. `error` is the reason. No other call follows. */
  closed(connection: Connection, error: Error): void;
}

/** What a connection is made of. */
export interface ConnectionParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly wire: Wire;
  /** The address that was dialled; undefined for an inbound connection. */
  readonly dialled: string | undefined;
  readonly handshake: Handshake;
  /** Shared by all connections. */
  readonly assemblies: AssemblyBudget;
  /** Counts the gossip of all connections; undefined: it is not counted. */
  readonly traffic?: GossipTraffic;
}

export class Connection {
  readonly outbound: boolean;
  /** The address that was dialled; undefined for an inbound connection. */
  readonly dialled: string | undefined;
  readonly wire: Wire;
  /** The hello of the other end; undefined in the state `handshaking`. */
  remote: Hello | undefined;
  /** The secret that both ends have proven; undefined: none, or the state is `handshaking`. */
  secret: NetworkSecret | undefined;
  /** The carriers that both ends have, best first; empty before the connection is admitted. */
  carriers: readonly string[] = [];
  overlay: OverlayConnection | undefined;
  /** Whether frames are encrypted. */
  encrypted = true;

  readonly #clock: Clock;
  readonly #random: Random;
  readonly #handshake: Handshake;
  readonly #assemblies: AssemblyBudget;
  readonly #traffic: GossipTraffic | undefined;
  /** Undefined before the end of the handshake. */
  #channel: Channel | undefined;
  readonly #events: ConnectionEvents;
  readonly #liveness: Liveness;
  #state: "handshaking" | "open" | "closed" = "handshaking";
  /** Number of messages that the wire has not sent yet. */
  #unsent = 0;
  /** Whether the overlay passes frames. */
  #passing = false;
  #handshakeTimer: Timer | undefined;
  #wake: Timer | undefined;
  /** The next check of the channel's keys. */
  #keysTimer: Timer | undefined;
  /** Monotonic time of the other end's hello. */
  #opened = 0;

  constructor(
    { clock, random, wire, dialled, handshake, assemblies, traffic }: ConnectionParts,
    events: ConnectionEvents,
  ) {
    this.#clock = clock;
    this.#random = random;
    this.wire = wire;
    this.dialled = dialled;
    this.outbound = dialled !== undefined;
    this.#events = events;
    this.#handshake = handshake;
    this.#assemblies = assemblies;
    this.#traffic = traffic;
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

  /** Begins to receive; an initiator sends its first message. */
  start(): void {
    this.wire.listen({
      message: (bytes) => {
        this.#applyLiveness(this.#liveness.received(this.wire.received, this.#clock.now()));
        this.#receive(bytes);
      },
      closed: (reason) => this.close(this.#closedBy(reason)),
    });
    this.#handshakeTimer = this.#clock.after(HANDSHAKE_MS, () => {
      if (this.#state === "handshaking") this.close(new Refusal("handshake", "the handshake took too long"));
    });
    this.#setTimer();
    this.#applyHandshake(this.#handshake.start());
  }

  /** Number of changes of the channel's keys. */
  get keyEpoch(): number {
    return this.#channel?.epoch ?? 0;
  }

  /** Estimates the other end's clock: the time in its hello, and the time since then. @param now monotonic milliseconds */
  remoteTime(now: number): number {
    return this.remote!.clock + (now - this.#opened);
  }

  get congested(): boolean {
    return this.wire.buffered > CONGESTED_BYTES;
  }

  /** Sends a message. @param sent called when the message has left this process, or never will */
  send(message: MeshMessage, sent?: () => void): void {
    if (this.#channel?.state !== "open") return sent?.();
    const { buffered } = this.wire;
    // Messages that have left are counted until the event loop's turn ends.
    if (buffered > MOST_UNSENT_BYTES || (buffered > 0 && this.#unsent >= MOST_UNSENT)) return sent?.();
    const encoded = encodeMessage(message);
    this.#traffic?.sent(message, encoded.length);
    const effects = this.#channel.send(encoded);
    const last = effects.at(-1);
    if (last?.do !== "send") return this.#apply(effects);
    this.#apply(effects.slice(0, -1));
    this.#unsent++;
    this.wire.send(last.bytes, () => {
      this.#unsent--;
      sent?.();
    });
  }

  /** Records whether the overlay passes frames in both directions. @returns whether that has changed */
  setPassing(passing: boolean): boolean {
    if (this.#state !== "open" || this.#passing === passing) return false;
    this.#passing = passing;
    return true;
  }

  /** Records whether no carrier has a sign of life from the other end. The connection then probes the other end itself. */
  doubt(doubtful: boolean): void {
    this.#applyLiveness(this.#liveness.doubt(doubtful, this.#clock.now()));
    this.#setTimer();
  }

  /** Returns this end's view of the connection, for the peer's record. */
  link(): PeerLink {
    return {
      to: this.remote!.name,
      key: keyStart(this.remote!.identity),
      address: this.wire.remoteAddress,
      outbound: this.outbound,
      established: this.state === "established",
    };
  }

  /** Ends the connection. The other end of an open connection receives the reason. Repeated calls do nothing. */
  close(error: Error): void {
    if (this.#state === "closed") return;
    if (this.#channel?.state === "open") {
      const code = error instanceof WeaveError ? error.code : "WEAVE_CONNECTION";
      this.send({ kind: "bye", code, text: errorText(error).slice(0, MAX_BYE_TEXT) });
    }
    this.#state = "closed";
    this.#handshakeTimer?.cancel();
    this.#wake?.cancel();
    this.#keysTimer?.cancel();
    this.#handshake.wipe();
    this.#channel?.close();
    this.overlay?.stop();
    if (this.remote === undefined) this.wire.terminate();
    else this.wire.close();
    this.#events.closed(this, error);
  }

  #receive(bytes: Uint8Array): void {
    const channel = this.#channel;
    if (channel === undefined) return this.#applyHandshake(this.#handshake.receive(bytes));
    const { wakeAt } = channel;
    this.#apply(channel.receive(bytes, this.#clock.now()));
    if (channel.wakeAt !== wakeAt) this.#setKeysTimer();
  }

  /** Returns the error for a wire that has ended. */
  #closedBy(reason: string): Error {
    if (this.#state === "handshaking") return this.#handshake.explain(reason);
    return new WeaveError("WEAVE_CONNECTION", reason);
  }

  #applyHandshake(effects: readonly HandshakeEffect[]): void {
    for (const effect of effects) {
      if (this.#state === "closed") return;
      if (effect.do === "send") this.wire.send(effect.bytes);
      else if (effect.do === "failed") this.close(effect.error);
      else this.#open(effect);
    }
  }

  #open({ remote, transport, secret }: HandshakeEffect & { readonly do: "opened" }): void {
    const now = this.#clock.now();
    this.#state = "open";
    this.#opened = now;
    this.remote = remote;
    this.secret = secret;
    const options = { initiator: this.outbound, transport, random: this.#random, assemblies: this.#assemblies };
    this.#channel = new Channel(options, now);
    this.#setKeysTimer();
    this.#events.opened(this, transport);
  }

  #apply(effects: readonly ChannelEffect[]): void {
    for (const effect of effects) {
      if (this.#state === "closed") return;
      if (effect.do === "send") this.wire.send(effect.bytes);
      else if (effect.do === "message") this.#onMessage(effect.bytes);
      else if (effect.do === "dropped") this.#events.malformed(this, effect.error);
      else this.close(effect.error);
    }
  }

  #setKeysTimer(): void {
    this.#keysTimer?.cancel();
    if (this.#channel?.state !== "open") return;
    this.#keysTimer = this.#clock.after(Math.max(0, this.#channel.wakeAt - this.#clock.now()), () => {
      this.#apply(this.#channel!.tick(this.#clock.now()));
      this.#setKeysTimer();
    });
  }

  #onMessage(bytes: Uint8Array): void {
    let message: MeshMessage;
    try {
      message = decodeMessage(bytes);
    } catch (error) {
      // The message is authentic: the connection itself is intact.
      this.#events.malformed(this, error);
      return;
    }
    this.#traffic?.received(message, bytes.length);
    if (message.kind === "bye") {
      this.close(new WeaveError("WEAVE_CONNECTION", printableText(message.text)));
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

  /** Sets the timer for the next {@link Liveness.tick}. */
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
