import { MESSAGE, typedMessage } from "#mesh/handshake/format.js";
import {
  type CipherState,
  cipherOf,
  diffieHellman,
  hkdf,
  type KeyPair,
  keyPair,
  NOISE_KEY_BYTES,
  type NoiseResult,
} from "#mesh/handshake/noise.js";
import { WeaveError } from "#src/errors.js";
import type { Random } from "#src/random.js";

/** Time after which the dialler changes the keys of a channel, as those of frames. */
export const ROTATE_AFTER_MS = 120_000;
/** A part of {@link ROTATE_AFTER_MS} that is chosen at random: connections that opened at the same time do not rotate together. */
const ROTATE_SPREAD_MS = 10_000;
/** Number of messages in one direction after which the keys change. */
const ROTATE_AFTER_MESSAGES = 2 ** 20;
/** Age of keys, and number of their messages, at which the connection ends: the other end does not change them. */
export const KEYS_LIMIT_MS = 300_000;
const KEYS_LIMIT_MESSAGES = 2 ** 22;

const OFFER = 1;
const ANSWER = 2;
const DONE = 3;
const HEADER_BYTES = 5;

/**
 * The states of a change of keys. The dialler begins it; messages flow all the while, as each end uses a new key for sending only
 * after a message of the change, and connections preserve the order.
 *
 *   dialler                                           other end
 *   steady                                            steady
 *     ── OFFER (n, ephemeral key) ──────────────────▶
 *   offered                                             computes the new keys
 *     ◀───────────────── ANSWER (n, ephemeral key) ──   and sends with the new key after it
 *     computes the new keys, receives with the new key
 *     ── DONE (n) ──────────────────────────────────▶
 *   steady, sends with the new key after DONE         answered
 *                                                       receives with the new key: steady
 */
export type RotationState = "steady" | "offered" | "answered";

export interface ChannelKeysOptions {
  /** Whether this end dialled. */
  readonly initiator: boolean;
  readonly transport: NoiseResult;
  readonly random: Random;
}

/**
 * The keys of a channel, one for each direction, and their change by fresh Diffie-Hellman (X25519). A replaced key is zeroed.
 * Each key depends on all shared secrets before it: root and keys of epoch n are HKDF(root of epoch n-1, shared secret, 3).
 */
export class ChannelKeys {
  readonly #initiator: boolean;
  readonly #random: Random;
  #send: CipherState;
  #receive: CipherState;
  #root: Uint8Array;
  #state: RotationState = "steady";
  #epoch = 0;
  /** Monotonic time of the last change. */
  #since: number;
  #rotateAt: number;
  /** The key pair of an offer. */
  #ephemeral: KeyPair | undefined;
  /** The key that follows DONE, at the end that answers. */
  #next: CipherState | undefined;

  /** @param now monotonic milliseconds */
  constructor({ initiator, transport, random }: ChannelKeysOptions, now: number) {
    this.#initiator = initiator;
    this.#random = random;
    this.#send = transport.send;
    this.#receive = transport.receive;
    this.#root = transport.root;
    this.#since = now;
    this.#rotateAt = this.#nextRotation(now);
  }

  get state(): RotationState {
    return this.#state;
  }

  /** Number of changes. */
  get epoch(): number {
    return this.#epoch;
  }

  /** Monotonic time of the next {@link tick}. */
  get wakeAt(): number {
    return this.#initiator && this.#state === "steady" ? this.#rotateAt : this.#since + KEYS_LIMIT_MS;
  }

  /** Encrypts a message. Its type is authenticated. @returns the message with its type */
  seal(type: number, text: Uint8Array): Uint8Array {
    return typedMessage(type, this.#send.encrypt(Uint8Array.of(type), text));
  }

  /** Decrypts a message. @throws WEAVE_HANDSHAKE when it is not authentic, not the next one, or of another type */
  open(type: number, body: Uint8Array): Uint8Array {
    return this.#receive.decrypt(Uint8Array.of(type), body);
  }

  /**
   * Begins a change that is due.
   *
   * @returns the messages to send
   * @throws WEAVE_CONNECTION when the keys are too old, because the other end does not change them
   */
  tick(now: number): Uint8Array[] {
    const used = Math.max(this.#send.count, this.#receive.count);
    if (now - this.#since >= KEYS_LIMIT_MS || used >= KEYS_LIMIT_MESSAGES)
      throw new WeaveError(
        "WEAVE_CONNECTION",
        "the keys of the connection are too old: the other end does not change them",
      );
    if (!this.#initiator || this.#state !== "steady") return [];
    if (now < this.#rotateAt && used < ROTATE_AFTER_MESSAGES) return [];
    this.#ephemeral = keyPair(this.#random.bytes(NOISE_KEY_BYTES));
    this.#state = "offered";
    return [this.#step(OFFER, this.#epoch + 1, this.#ephemeral.public)];
  }

  /**
   * Handles a step of the other end.
   *
   * @param text the content of a message of type `rotate`
   * @returns the messages to send
   * @throws WEAVE_HANDSHAKE when it is not the step that this state expects
   */
  rotate(text: Uint8Array, now: number): Uint8Array[] {
    const step = text[0];
    const key = text.subarray(HEADER_BYTES);
    const sized = text.length === HEADER_BYTES + (step === DONE ? 0 : NOISE_KEY_BYTES);
    if (!sized || Buffer.from(text.buffer, text.byteOffset, text.length).readUInt32LE(1) !== this.#epoch + 1)
      throw unexpected();
    if (step === OFFER && !this.#initiator && this.#state === "steady") return this.#answer(key);
    if (step === ANSWER && this.#state === "offered") return this.#done(key, now);
    if (step === DONE && this.#state === "answered") return this.#complete(now);
    throw unexpected();
  }

  /** Zeroes all keys. */
  wipe(): void {
    this.#send.wipe();
    this.#receive.wipe();
    this.#next?.wipe();
    this.#root.fill(0);
    this.#ephemeral?.secret.fill(0);
  }

  #answer(theirs: Uint8Array): Uint8Array[] {
    const ours = keyPair(this.#random.bytes(NOISE_KEY_BYTES));
    const [received, sent] = this.#derive(ours, theirs);
    const answer = this.#step(ANSWER, this.#epoch + 1, ours.public);
    this.#send.wipe();
    this.#send = cipherOf(sent);
    this.#next = cipherOf(received);
    this.#state = "answered";
    return [answer];
  }

  #done(theirs: Uint8Array, now: number): Uint8Array[] {
    const [sent, received] = this.#derive(this.#ephemeral!, theirs);
    const done = this.#step(DONE, this.#epoch + 1, new Uint8Array(0));
    this.#ephemeral = undefined;
    this.#send.wipe();
    this.#send = cipherOf(sent);
    this.#receive.wipe();
    this.#receive = cipherOf(received);
    this.#advance(now);
    return [done];
  }

  #complete(now: number): Uint8Array[] {
    this.#receive.wipe();
    this.#receive = this.#next!;
    this.#next = undefined;
    this.#advance(now);
    return [];
  }

  #advance(now: number): void {
    this.#epoch++;
    this.#since = now;
    this.#rotateAt = this.#nextRotation(now);
    this.#state = "steady";
  }

  /** Computes the next root, and the keys from the dialler and to it. */
  #derive(ours: KeyPair, theirs: Uint8Array): [Uint8Array, Uint8Array] {
    const shared = diffieHellman(ours.secret, theirs);
    const [root, fromDialler, toDialler] = hkdf(this.#root, shared, 3);
    shared.fill(0);
    ours.secret.fill(0);
    this.#root.fill(0);
    this.#root = root;
    return [fromDialler, toDialler];
  }

  #step(step: number, epoch: number, key: Uint8Array): Uint8Array {
    const header = Buffer.alloc(HEADER_BYTES);
    header[0] = step;
    header.writeUInt32LE(epoch, 1);
    return this.seal(MESSAGE.rotate, Buffer.concat([header, key]));
  }

  #nextRotation(now: number): number {
    return now + ROTATE_AFTER_MS - this.#random.below(ROTATE_SPREAD_MS);
  }
}

const unexpected = () => new WeaveError("WEAVE_HANDSHAKE", "an unexpected step of the change of keys");
