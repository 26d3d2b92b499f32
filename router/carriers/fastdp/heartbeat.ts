import { createHmac, timingSafeEqual } from "node:crypto";
import { hkdf } from "#mesh/handshake/noise.js";

/*
 * A heartbeat: the payload of an Ethernet frame of type 0x88b5 (IEEE 802, for local experiments), which has its length before and zeros
 * after it, up to the size that the path must carry. All numbers are big-endian.
 *
 *   0      version: 1
 *   1      1: the sender lacks a proof, and asks for an answer at once; else 0
 *   2..3   zero
 *   4..11  path: which connection, known to its two ends alone
 *   12..19 number of this heartbeat
 *   20..27 highest number that the sender has received; 0: none
 *   28..43 first 16 bytes of HMAC-SHA256 of all before, by the key of the sender's direction
 */
const VERSION = 1;
const AT_ASKS = 1;
const AT_PATH = 4;
const AT_COUNT = 12;
const AT_RECEIVED = 20;
const AT_TAG = 28;
const TAG_BYTES = 16;
/** Bytes of a heartbeat. */
export const HEARTBEAT_BYTES = AT_TAG + TAG_BYTES;

export interface Heartbeat {
  readonly count: number;
  /** The highest number that the sender has received; 0: none. */
  readonly received: number;
  /** Whether the sender lacks a proof, and asks for an answer. */
  readonly asks: boolean;
}

/** Why a heartbeat is refused. */
export type HeartbeatRefusal = "malformed" | "forged" | "replayed";

/** Returns the number of the path in a heartbeat, as a key of maps; undefined when it is none. */
export function pathIn(payload: Uint8Array): string | undefined {
  if (payload.length < HEARTBEAT_BYTES || payload[0] !== VERSION) return undefined;
  return Buffer.from(payload.buffer, payload.byteOffset + AT_PATH, AT_COUNT - AT_PATH).toString("hex");
}

/**
 * Makes and checks the heartbeats of one connection. Containers can send frames of that type to the bridge: each heartbeat is
 * authenticated by a key that only the two ends of the connection know, one for each direction, and numbers only grow.
 */
export class HeartbeatKeys {
  /** See {@link pathIn}. */
  readonly path: string;
  readonly #path: Uint8Array;
  readonly #ours: Uint8Array;
  readonly #theirs: Uint8Array;
  #received = 0;

  /**
   * @param secret known to the two ends of the connection alone
   * @param dialler whether this end dialled
   */
  constructor(secret: Uint8Array, dialler: boolean) {
    const [path, there, back] = hkdf(secret, Buffer.from("heartbeats"), 3);
    this.#path = Uint8Array.from(path.subarray(0, AT_COUNT - AT_PATH));
    this.path = Buffer.from(this.#path).toString("hex");
    [this.#ours, this.#theirs] = dialler ? [there, back] : [back, there];
    path.fill(0);
  }

  /** The highest number that was received; 0: none. */
  get received(): number {
    return this.#received;
  }

  /** Makes a heartbeat. */
  make({ count, asks }: Omit<Heartbeat, "received">): Uint8Array {
    const payload = Buffer.alloc(HEARTBEAT_BYTES);
    payload[0] = VERSION;
    payload[AT_ASKS] = asks ? 1 : 0;
    payload.set(this.#path, AT_PATH);
    payload.writeBigUInt64BE(BigInt(count), AT_COUNT);
    payload.writeBigUInt64BE(BigInt(this.#received), AT_RECEIVED);
    payload.set(tag(this.#ours, payload), AT_TAG);
    return payload;
  }

  /** Checks a heartbeat of this path. */
  open(payload: Uint8Array): Heartbeat | HeartbeatRefusal {
    if (pathIn(payload) !== this.path) return "malformed";
    const buffer = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
    if (!timingSafeEqual(tag(this.#theirs, buffer), buffer.subarray(AT_TAG, HEARTBEAT_BYTES))) return "forged";
    const count = Number(buffer.readBigUInt64BE(AT_COUNT));
    if (count <= this.#received) return "replayed";
    this.#received = count;
    return { count, received: Number(buffer.readBigUInt64BE(AT_RECEIVED)), asks: payload[AT_ASKS] === 1 };
  }

  /** Zeroes the keys. */
  close(): void {
    this.#ours.fill(0);
    this.#theirs.fill(0);
  }
}

const tag = (key: Uint8Array, payload: Uint8Array): Uint8Array =>
  createHmac("sha256", key).update(payload.subarray(0, AT_TAG)).digest().subarray(0, TAG_BYTES);
