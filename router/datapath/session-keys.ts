import { hkdfSync } from "node:crypto";
import { EPOCHS, MAX_LANES, readCounter, writeAad } from "#router/datapath/record.js";
import { ReplayWindow } from "#router/datapath/replay-window.js";
import type { Memory } from "#src/linux/native/memory.js";
import type { Direction, RecordCipher, RecordCipherKind } from "#src/linux/native/record-cipher.js";
import { recordCipher } from "#src/linux/native/record-cipher-choice.js";

/** Maximum age of a key that seals, even if the other end never agrees to a new one (WireGuard's REJECT_AFTER_TIME). */
export const REJECT_AFTER_MS = 180_000;
/**
 * Maximum age of a key that opens. The other end seals with a key until {@link REJECT_AFTER_MS} after it has installed it, which is later
 * than here by the time that the messages of an exchange take, on a full line too.
 */
export const OPEN_MS = REJECT_AFTER_MS + 30_000;
/** For this time after the first record of a newer key, an older one opens records that are under way. */
export const IN_FLIGHT_MS = 15_000;
/** Keys kept for opening: the current, the previous (for records in flight), and the next that the other end will use. */
const OPEN_KEYS = 3;

/** Result of {@link SessionKeys.seal} for a record that must not leave this host, because it may be unencrypted. */
export const SEAL_REFUSED = -1;

export type OpenResult = "ok" | "epoch-unknown" | "authentication-failed" | "replayed";

/** Receive statistics of a session, cumulative since the last report. */
export interface Arrivals {
  /** Records that the other end has sealed, according to their counters. */
  expected: number;
  accepted: number;
  /** Number of datagrams that carried the accepted records. */
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

/** The keys that open records of one epoch: one for each lane of the sender whose records come to this thread. */
interface LaneKey {
  readonly key: Uint8Array;
  readonly salt: Uint8Array;
}

interface OpenerSet {
  readonly epoch: number;
  /** Time at which the key ends. */
  until: number;
  /** Whether a record of the other end has come. */
  used: boolean;
  /** The keys of the lanes that come to this thread, until their first record. */
  readonly keys: (LaneKey | undefined)[];
  readonly lanes: (Opener | undefined)[];
}

/**
 * Derives the key of one lane from the key that both ends agreed on for a direction and an epoch (HKDF, RFC 5869). Threads
 * share no counter, so they must not share a key.
 */
function laneKey({ keyBytes, saltBytes }: RecordCipherKind, { key, salt, lane }: LaneKey & { lane: number }): LaneKey {
  const bytes = new Uint8Array(hkdfSync("sha256", key, salt, `weave lane ${lane}`, keyBytes + saltBytes));
  return { key: bytes.subarray(0, keyBytes), salt: bytes.subarray(keyBytes) };
}

export interface KeyOptions {
  /** Our number for the session: the peer's datagrams contain it. */
  readonly local: number;
  readonly encrypted: boolean;
  /** The lane of this thread. */
  readonly lane: number;
  /** Number of threads: lane n of the other end comes to thread n modulo it. One by default. */
  readonly lanes?: number;
  /** True: call OpenSSL directly; false: node:crypto. */
  readonly openssl: boolean;
}

/**
 * The keys of one session in one thread. Seals the thread's records; opens and counts the records of the other end. Works the
 * same for records of every carrier.
 */
export class SessionKeys {
  /** The peer's number for the session; 0 until it is known. */
  remote = 0;
  readonly arrivals: Arrivals = { expected: 0, accepted: 0, datagrams: 0 };
  readonly #options: KeyOptions;
  readonly #kind: RecordCipherKind;
  #sealer: Sealer | undefined;
  readonly #openers: OpenerSet[] = [];
  /** True: an opener has got its first record since the last {@link expire}. */
  #switched = false;

  constructor(options: KeyOptions) {
    this.#options = options;
    this.#kind = recordCipher(options);
  }

  /** Installs a key. The caller's copy is zeroed: this thread keeps the keys of the lanes that it needs. */
  setKey(direction: Direction, epoch: number, key: Uint8Array, salt: Uint8Array, now: number): void {
    epoch %= EPOCHS;
    if (direction === "seal") {
      const cipher = this.#cipher("seal", laneKey(this.#kind, { key, salt, lane: this.#options.lane }));
      this.#sealer?.cipher.free();
      this.#sealer = { epoch, cipher, sealed: 0, since: now };
    } else {
      const { lane: own, lanes = 1 } = this.#options;
      const keys: LaneKey[] = [];
      for (let lane = own % lanes; lane < MAX_LANES; lane += lanes)
        keys[lane] = laneKey(this.#kind, { key, salt, lane });
      this.#openers.unshift({ epoch, keys, lanes: [], until: now + OPEN_MS, used: false });
    }
    key.fill(0);
    while (this.#openers.length > OPEN_KEYS) this.#close(this.#openers.pop()!);
  }

  /**
   * Ends the keys whose time is over: they are zeroed. Call this after each wait, before records are opened or sealed.
   */
  expire(now: number): void {
    const sealer = this.#sealer;
    if (sealer !== undefined && now - sealer.since >= REJECT_AFTER_MS) this.#discardSealer();
    const openers = this.#openers;
    if (this.#switched) {
      this.#switched = false;
      const newest = openers.findIndex(({ used }) => used);
      if (newest >= 0)
        for (const older of openers.slice(newest + 1)) older.until = Math.min(older.until, now + IN_FLIGHT_MS);
    }
    while (openers.length > 0 && openers[openers.length - 1].until <= now) this.#close(openers.pop()!);
  }

  /** Lane and epoch, encoded as in a datagram. */
  get laneEpoch(): number {
    return (this.#options.lane << 4) | (this.#sealer?.epoch ?? 0);
  }

  /** Whether there is a key that has not reached its age or record limit. */
  canSeal(now: number): boolean {
    const sealer = this.#sealer;
    return sealer !== undefined && now - sealer.since < REJECT_AFTER_MS && sealer.sealed < this.#kind.maxRecords;
  }

  /** Length of the shortest record of at least `length` bytes that the cipher can seal. Padding extends a record. */
  sealableLength(length: number): number {
    return this.#sealer === undefined ? length : this.#sealer.cipher.sealableLength(length);
  }

  /**
   * Seals the record of `length` bytes at `offset`, which will travel in `count` datagrams. Returns its counter. Returns
   * {@link SEAL_REFUSED} without a key, for a length that the cipher does not support ({@link sealableLength}), or when the
   * cipher fails. It is unknown whether a failed cipher has used its counter, so its key is discarded.
   */
  seal(memory: Memory, offset: number, length: number, count: number): number {
    const sealer = this.#sealer;
    if (sealer === undefined || sealer.cipher.sealableLength(length) !== length) return SEAL_REFUSED;
    writeAad(sealer.cipher.aad, this.remote, this.laneEpoch, count);
    if (sealer.cipher.run(memory, offset, length)) return sealer.sealed++;
    this.#discardSealer();
    return SEAL_REFUSED;
  }

  /** Opens a record in place and checks that it is new. */
  open(memory: Memory, offset: number, length: number, laneEpoch: number, count: number): OpenResult {
    for (const set of this.#openers) {
      if (set.epoch !== (laneEpoch & 15)) continue;
      const lane = laneEpoch >>> 4;
      const opener = set.lanes[lane] ?? this.#opener(set, lane);
      // Only a forged record has a lane that comes to another thread.
      if (opener === undefined) return "authentication-failed";
      writeAad(opener.cipher.aad, this.#options.local, laneEpoch, count);
      if (!opener.cipher.run(memory, offset, length)) return "authentication-failed";
      if (!set.used) set.used = this.#switched = true;
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

  /** Whether the last opened record was the newest so far. Only the newest record may change the peer's address. */
  newest = false;

  close(): void {
    this.#discardSealer();
    for (const set of this.#openers.splice(0)) this.#close(set);
  }

  #discardSealer(): void {
    this.#sealer?.cipher.free();
    this.#sealer = undefined;
  }

  #opener(set: OpenerSet, lane: number): Opener | undefined {
    const key = set.keys[lane];
    if (key === undefined) return undefined;
    set.keys[lane] = undefined;
    const cipher = this.#cipher("open", key);
    const opener = { cipher, window: new ReplayWindow() };
    set.lanes[lane] = opener;
    return opener;
  }

  #cipher(direction: Direction, { key, salt }: LaneKey): RecordCipher {
    const cipher = this.#kind.create(direction, key, salt);
    key.fill(0);
    return cipher;
  }

  #close(set: OpenerSet): void {
    for (const unused of set.keys) unused?.key.fill(0);
    for (const opener of set.lanes) opener?.cipher.free();
  }
}
