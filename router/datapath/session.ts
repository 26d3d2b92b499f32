import { readCounter, writeAad, writeCounter } from "#router/datapath/record.js";
import { ReplayWindow } from "#router/datapath/replay.js";
import { AAD_BYTES, AeadContext, NONCE_BYTES, TAG_BYTES } from "#src/host/native/aead.js";
import type { Memory } from "#src/host/native/memory.js";
import type { Endpoint } from "#src/host/native/udp.js";

/** A key is not used for longer, even if the other end never agrees to a new one (as WireGuard's REJECT_AFTER_TIME). */
export const REJECT_AFTER_MS = 180_000;
/** NIST SP 800-38D section 8.3 allows 2^32 seals under one key; we stop well before. */
export const REJECT_AFTER_RECORDS = 2 ** 31;
/** The key in use, the one before (records still under way), and the one that the other end switches to next. */
const OPEN_KEYS = 3;

/** UDP payload that every path carries: the smallest MTU we accept (576, RFC 791) less IP and UDP headers. */
export const FLOOR_DATAGRAM = 576 - 28;

/** Seals or opens records in place; what {@link AeadContext} does with a key, and {@link ClearContext} without. */
interface RecordCipher {
  readonly aad: Uint8Array;
  run(memory: Memory, offset: number, length: number): boolean;
  free(): void;
}

/** For the networks that asked for clear frames: the same layout, counter included, with a tag of zeros. */
class ClearContext implements RecordCipher {
  readonly aad = new Uint8Array(AAD_BYTES);
  readonly #sealing: boolean;
  #counter = 0;

  constructor(direction: "seal" | "open") {
    this.#sealing = direction === "seal";
  }

  run(memory: Memory, offset: number, length: number): boolean {
    if (length < NONCE_BYTES + TAG_BYTES) return false;
    memory.at(offset, length);
    if (!this.#sealing) return true;
    writeCounter(memory.view, offset, this.#counter++);
    memory.u8.fill(0, offset + length - TAG_BYTES, offset + length);
    return true;
  }

  free(): void {}
}

export type OpenResult = "ok" | "epoch-unknown" | "authentication-failed" | "replayed";

/** One remote peer as the datapath thread knows it: keys, counters, and where its datagrams go. */
export class Session {
  /** Our number for it, which the peer writes into its datagrams. */
  readonly local: number;
  readonly peer: number;
  readonly #encrypted: boolean;
  /** The peer's number for us. */
  remote = 0;
  /** 0: not known yet; it is learnt from the first authentic datagram. */
  address: Endpoint = 0;
  /** UDP payload that the path has been proven to carry. */
  datagramBytes = FLOOR_DATAGRAM;

  #sealer: { epoch: number; cipher: RecordCipher; aad: Uint8Array; sealed: number; since: number } | undefined;
  readonly #openers: { epoch: number; cipher: RecordCipher; aad: Uint8Array; window: ReplayWindow }[] = [];

  constructor(local: number, peer: number, encrypted: boolean) {
    this.local = local;
    this.peer = peer;
    this.#encrypted = encrypted;
  }

  setKey(direction: "seal" | "open", epoch: number, key: Uint8Array, salt: Uint8Array, now: number): void {
    const cipher = this.#encrypted ? new AeadContext(direction, key, salt) : new ClearContext(direction);
    const aad = cipher.aad;
    if (direction === "seal") {
      this.#sealer?.cipher.free();
      this.#sealer = { epoch: epoch & 255, cipher, aad, sealed: 0, since: now };
      return;
    }
    this.#openers.unshift({ epoch: epoch & 255, cipher, aad, window: new ReplayWindow() });
    while (this.#openers.length > OPEN_KEYS) this.#openers.pop()?.cipher.free();
  }

  get epoch(): number {
    return this.#sealer?.epoch ?? 0;
  }

  /** Whether there is a key that may still seal. */
  canSeal(now: number): boolean {
    const sealer = this.#sealer;
    return sealer !== undefined && now - sealer.since < REJECT_AFTER_MS && sealer.sealed < REJECT_AFTER_RECORDS;
  }

  /** Seals the record of `length` bytes at `offset`, that will travel in `count` datagrams. Returns its counter. */
  seal(memory: Memory, offset: number, length: number, count: number): number {
    const sealer = this.#sealer!;
    writeAad(sealer.aad, this.remote, sealer.epoch, count);
    sealer.cipher.run(memory, offset, length);
    return sealer.sealed++;
  }

  /** Opens a record in place and checks that it is new. */
  open(memory: Memory, offset: number, length: number, epoch: number, count: number): OpenResult {
    for (const opener of this.#openers) {
      if (opener.epoch !== epoch) continue;
      writeAad(opener.aad, this.local, epoch, count);
      if (!opener.cipher.run(memory, offset, length)) return "authentication-failed";
      const counter = readCounter(memory.view, offset);
      this.newest = counter > opener.window.newest && opener === this.#openers[0];
      return opener.window.accept(counter) ? "ok" : "replayed";
    }
    return "epoch-unknown";
  }

  /** Whether the record opened last was the newest so far: only such a one may move the peer's address. */
  newest = false;

  close(): void {
    this.#sealer?.cipher.free();
    this.#sealer = undefined;
    for (const opener of this.#openers.splice(0)) opener.cipher.free();
  }
}
