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

/** An action for the caller: send bytes, or handle an event. */
export type ChannelEffect =
  | { readonly do: "send"; readonly bytes: Uint8Array }
  | { readonly do: "message"; readonly bytes: Uint8Array }
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
  #partial: Uint8Array[] = [];
  #partialBytes = 0;

  /** @param now monotonic milliseconds */
  constructor(options: ChannelKeysOptions, now: number) {
    this.#keys = new ChannelKeys(options, now);
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
    this.#partial = [];
    this.#keys.wipe();
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
    this.#partial.push(chunk);
    if (type === MESSAGE.dataMore) return [];
    const message = this.#partial.length === 1 ? chunk : Buffer.concat(this.#partial);
    this.#partial = [];
    this.#partialBytes = 0;
    return [{ do: "message", bytes: message }];
  }
}

const send = (bytes: Uint8Array): ChannelEffect => ({ do: "send", bytes });
