import type { AssemblyBudget } from "#mesh/connection/assembly-budget.js";
import { ChannelKeys, type ChannelKeysOptions } from "#mesh/connection/channel-keys.js";
import { MESSAGE } from "#mesh/handshake/format.js";
import { errorText, WeaveError } from "#src/errors.js";

/** Largest message of Noise, tag included (section 3 of its specification). */
const MAX_NOISE_BYTES = 65_535;
/** Bytes of a message that one DATA message contains. */
const CHUNK_BYTES = 64_000;
/** Largest message; the same as in Weave Net. */
export const MAX_MESSAGE_BYTES = 10 << 20;
/** Largest WebSocket message. */
export const MAX_FRAME_BYTES = MAX_NOISE_BYTES + 1;

/** What a channel is made of. */
export interface ChannelOptions extends ChannelKeysOptions {
  /** Shared by all connections. */
  readonly assemblies: AssemblyBudget;
}

/** Whether received bytes are a part of a message, and not its last. */
export const isInnerPart = (bytes: Uint8Array): boolean => bytes[0] === MESSAGE.dataMore;

/** An action for the caller: send bytes, or handle an event. */
export type ChannelEffect =
  | { readonly do: "send"; readonly bytes: Uint8Array }
  | { readonly do: "message"; readonly bytes: Uint8Array }
  /** A message was not kept: incomplete ones of all connections need too much memory. */
  | { readonly do: "dropped"; readonly error: WeaveError }
  | { readonly do: "failed"; readonly error: WeaveError };

/**
 * A secured channel over a message-oriented connection, after its handshake (`mesh/handshake/handshake.ts`). No I/O: the caller passes
 * received bytes and the time, and applies the effects. Any error closes the channel, and zeroes its keys:
 *
 *   open ──error, or close()──▶ closed
 */
export class Channel {
  readonly #keys: ChannelKeys;
  #open = true;
  readonly #assemblies: AssemblyBudget;
  /** Whether the rest of the incomplete message is discarded. */
  #dropped = false;
  #partialBytes = 0;

  /** @param now monotonic milliseconds */
  constructor(options: ChannelOptions, now: number) {
    this.#keys = new ChannelKeys(options, now);
    this.#assemblies = options.assemblies;
  }

  get state(): "open" | "closed" {
    return this.#open ? "open" : "closed";
  }

  /** Number of changes of the keys. */
  get epoch(): number {
    return this.#keys.epoch;
  }

  /** Monotonic time of the next {@link tick}. */
  get wakeAt(): number {
    return this.#keys.wakeAt;
  }

  /** Handles received bytes. Never throws: errors are effects. */
  receive(bytes: Uint8Array, now: number): ChannelEffect[] {
    // A change may be due by the number of messages.
    return this.#run(() => [...this.#receive(bytes, now), ...this.#keys.tick(now).map(send)]);
  }

  /** Changes the keys if that is due. Never throws: keys that are too old are an effect. */
  tick(now: number): ChannelEffect[] {
    return this.#run(() => this.#keys.tick(now).map(send));
  }

  /** Encrypts a message, a long one as several DATA messages. @throws WEAVE_MESSAGE_TOO_LARGE */
  send(message: Uint8Array): ChannelEffect[] {
    if (!this.#open) return [];
    if (message.length > MAX_MESSAGE_BYTES) {
      throw new WeaveError(
        "WEAVE_MESSAGE_TOO_LARGE",
        `a message of ${message.length} bytes; the limit is ${MAX_MESSAGE_BYTES}`,
      );
    }
    const effects: ChannelEffect[] = [];
    let at = 0;
    do {
      const chunk = message.subarray(at, at + CHUNK_BYTES);
      at += CHUNK_BYTES;
      effects.push(send(this.#keys.seal(at < message.length ? MESSAGE.dataMore : MESSAGE.data, chunk)));
    } while (at < message.length);
    return effects;
  }

  /** Ends the channel, and zeroes its keys. */
  close(): void {
    this.#open = false;
    this.#assemblies.release(this);
    this.#keys.wipe();
  }

  /** Forgets the incomplete message: {@link AssemblyBudget} decides. */
  drop(): void {
    this.#dropped = true;
  }

  #run(step: () => ChannelEffect[]): ChannelEffect[] {
    if (!this.#open) return [];
    try {
      return step();
    } catch (error) {
      this.close();
      const known = error instanceof WeaveError;
      return [
        { do: "failed", error: known ? error : new WeaveError("WEAVE_CONNECTION", errorText(error), { cause: error }) },
      ];
    }
  }

  #receive(bytes: Uint8Array, now: number): ChannelEffect[] {
    const type = bytes[0];
    if (type === MESSAGE.rotate) return this.#keys.rotate(this.#keys.open(type, bytes.subarray(1)), now).map(send);
    if (type !== MESSAGE.data && type !== MESSAGE.dataMore)
      throw new WeaveError("WEAVE_MESSAGE_MALFORMED", `message of unknown type ${type}`);
    const chunk = this.#keys.open(type, bytes.subarray(1));
    // Without this, a message could have any number of empty chunks.
    if (type === MESSAGE.dataMore && chunk.length !== CHUNK_BYTES)
      throw new WeaveError("WEAVE_MESSAGE_MALFORMED", `a part of a message has ${chunk.length} bytes`);
    this.#partialBytes += chunk.length;
    if (this.#partialBytes > MAX_MESSAGE_BYTES)
      throw new WeaveError("WEAVE_MESSAGE_TOO_LARGE", `a message of more than ${MAX_MESSAGE_BYTES} bytes`);
    if (type === MESSAGE.dataMore) {
      if (!this.#dropped) this.#assemblies.add(this, chunk);
      return [];
    }
    return [this.#complete(chunk)];
  }

  #complete(last: Uint8Array): ChannelEffect {
    const [bytes, dropped] = [this.#partialBytes, this.#dropped];
    this.#partialBytes = 0;
    this.#dropped = false;
    if (dropped) {
      const why = "a long message was dropped: those of all neighbours together need too much memory";
      return { do: "dropped", error: new WeaveError("WEAVE_MESSAGE_TOO_LARGE", why) };
    }
    return { do: "message", bytes: bytes === last.length ? last : this.#assemblies.complete(this, last) };
  }
}

const send = (bytes: Uint8Array): ChannelEffect => ({ do: "send", bytes });
