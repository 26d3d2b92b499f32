import { hkdfSync } from "node:crypto";
import { EPOCHS, readCounter, writeAad, writeCounter } from "#router/datapath/record.js";
import { ReplayWindow } from "#router/datapath/replay-window.js";
import { NodeAesGcm, OpensslAesGcm, sealableLength } from "#src/linux/native/aes-gcm.js";
import type { Memory } from "#src/linux/native/memory.js";
import {
  AAD_BYTES,
  type Direction,
  KEY_BYTES,
  type RecordCipher,
  SALT_BYTES,
  TAG_BYTES,
} from "#src/linux/native/record-cipher.js";

/** A key is not used for longer, even if the other end never agrees to a new one (as WireGuard's REJECT_AFTER_TIME). */
export const REJECT_AFTER_MS = 180_000;
/** NIST SP 800-38D section 8.3 allows 2^32 seals under one key; we stop well before. */
export const REJECT_AFTER_RECORDS = 2 ** 31;
/** The key in use, the one before (records still under way), and the one that the other end switches to next. */
const OPEN_KEYS = 3;

/** For networks whose frames go in clear: the same layout, counter included, with a tag of zeros. */
class ClearCipher implements RecordCipher {
  readonly aad = new Uint8Array(AAD_BYTES);
  readonly sealableLength = sealableLength;
  readonly #sealing: boolean;
  #counter = 0;

  constructor(direction: Direction) {
    this.#sealing = direction === "seal";
  }

  run(memory: Memory, offset: number, length: number): boolean {
    if (sealableLength(length) !== length) return false;
    memory.at(offset, length);
    if (!this.#sealing) return true;
    writeCounter(memory.view, offset, this.#counter++);
    memory.u8.fill(0, offset + length - TAG_BYTES, offset + length);
    return true;
  }

  free(): void {}
}

/** What {@link SessionKeys.seal} returns for a record that must not leave this host: it may be clear. */
export const SEAL_REFUSED = -1;

export type OpenResult = "ok" | "epoch-unknown" | "authentication-failed" | "replayed";

/** Receive statistics of a session, cumulative since the last report. */
export interface Arrivals {
  /** Records that the other end has sealed, by their counters. */
  expected: number;
  accepted: number;
  /** Of the accepted records. */
  datagrams: number;
}

interface Sealer {
  readonly epoch: number;
  readonly cipher: RecordCipher;
  readonly since: number;
  sealed: number;
}

interface Opener {
  readonly cipher: RecordCipher;
  readonly window: ReplayWindow;
}

/** The keys of one epoch to open with: one for each lane of the sender, made at the lane's first record. */
interface OpenerSet {
  readonly epoch: number;
  readonly key: Uint8Array;
  readonly salt: Uint8Array;
  readonly lanes: (Opener | undefined)[];
}

/**
 * The key of one lane, from the one that the two ends agreed on for a direction and an epoch (HKDF, RFC 5869): threads
 * share no counter, so they must share no key.
 */
function laneKey(key: Uint8Array, salt: Uint8Array, lane: number): { key: Uint8Array; salt: Uint8Array } {
  const bytes = new Uint8Array(hkdfSync("sha256", key, salt, `weave lane ${lane}`, KEY_BYTES + SALT_BYTES));
  return { key: bytes.subarray(0, KEY_BYTES), salt: bytes.subarray(KEY_BYTES) };
}

export interface KeyOptions {
  /** Our number for the session, which the peer writes into its datagrams. */
  readonly local: number;
  readonly encrypted: boolean;
  /** The lane of this thread, in which its records travel. */
  readonly lane: number;
  /** Call OpenSSL directly; else node:crypto. */
  readonly openssl: boolean;
}

/**
 * The keys of one session in one thread: seals its records, and opens and counts those of the other end. By which carrier
 * a record travels makes no difference here.
 */
export class SessionKeys {
  /** The peer's number for the session; 0 until it is known. */
  remote = 0;
  readonly arrivals: Arrivals = { expected: 0, accepted: 0, datagrams: 0 };
  readonly #options: KeyOptions;
  #sealer: Sealer | undefined;
  readonly #openers: OpenerSet[] = [];

  constructor(options: KeyOptions) {
    this.#options = options;
  }

  setKey(direction: Direction, epoch: number, key: Uint8Array, salt: Uint8Array, now: number): void {
    epoch %= EPOCHS;
    if (direction === "seal") {
      const cipher = this.#cipher("seal", key, salt, this.#options.lane);
      this.#sealer?.cipher.free();
      this.#sealer = { epoch, cipher, sealed: 0, since: now };
      return;
    }
    this.#openers.unshift({ epoch, key: Uint8Array.from(key), salt: Uint8Array.from(salt), lanes: [] });
    while (this.#openers.length > OPEN_KEYS) this.#close(this.#openers.pop()!);
  }

  /** Lane and epoch, as they stand in a datagram. */
  get laneEpoch(): number {
    return (this.#options.lane << 4) | (this.#sealer?.epoch ?? 0);
  }

  /** Whether there is a key that may still seal. */
  canSeal(now: number): boolean {
    const sealer = this.#sealer;
    return sealer !== undefined && now - sealer.since < REJECT_AFTER_MS && sealer.sealed < REJECT_AFTER_RECORDS;
  }

  /** The shortest record of at least `length` bytes that can be sealed. A record is made longer by padding. */
  sealableLength(length: number): number {
    return this.#sealer === undefined ? length : this.#sealer.cipher.sealableLength(length);
  }

  /**
   * Seals the record of `length` bytes at `offset`, that will travel in `count` datagrams. Returns its counter, or
   * {@link SEAL_REFUSED}: without a key, with a length that the cipher cannot do ({@link sealableLength}), or when the cipher
   * fails. A cipher that has failed may have used its counter or not, so its key seals nothing more.
   */
  seal(memory: Memory, offset: number, length: number, count: number): number {
    const sealer = this.#sealer;
    if (sealer === undefined || sealer.cipher.sealableLength(length) !== length) return SEAL_REFUSED;
    writeAad(sealer.cipher.aad, this.remote, this.laneEpoch, count);
    if (sealer.cipher.run(memory, offset, length)) return sealer.sealed++;
    sealer.cipher.free();
    this.#sealer = undefined;
    return SEAL_REFUSED;
  }

  /** Opens a record in place and checks that it is new. */
  open(memory: Memory, offset: number, length: number, laneEpoch: number, count: number): OpenResult {
    for (const set of this.#openers) {
      if (set.epoch !== (laneEpoch & 15)) continue;
      const lane = laneEpoch >>> 4;
      const opener = set.lanes[lane] ?? this.#opener(set, lane);
      writeAad(opener.cipher.aad, this.#options.local, laneEpoch, count);
      if (!opener.cipher.run(memory, offset, length)) return "authentication-failed";
      const { window } = opener;
      const counter = readCounter(memory.view, offset);
      const ahead = counter - window.newest;
      this.newest = ahead > 0 && set === this.#openers[0];
      if (!window.accept(counter)) return "replayed";
      if (ahead > 0) this.arrivals.expected += ahead;
      this.arrivals.accepted++;
      this.arrivals.datagrams += count;
      return "ok";
    }
    return "epoch-unknown";
  }

  /** Whether the record opened last was the newest so far: only such a one may move the peer's address. */
  newest = false;

  close(): void {
    this.#sealer?.cipher.free();
    this.#sealer = undefined;
    for (const set of this.#openers.splice(0)) this.#close(set);
  }

  #opener(set: OpenerSet, lane: number): Opener {
    const cipher = this.#cipher("open", set.key, set.salt, lane);
    const opener = { cipher, window: new ReplayWindow() };
    set.lanes[lane] = opener;
    return opener;
  }

  #cipher(direction: Direction, base: Uint8Array, baseSalt: Uint8Array, lane: number): RecordCipher {
    if (!this.#options.encrypted) return new ClearCipher(direction);
    const { key, salt } = laneKey(base, baseSalt, lane);
    return this.#options.openssl ? new OpensslAesGcm(direction, key, salt) : new NodeAesGcm(direction, key, salt);
  }

  #close(set: OpenerSet): void {
    set.key.fill(0);
    for (const opener of set.lanes) opener?.cipher.free();
  }
}
