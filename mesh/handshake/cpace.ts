import { createHash, createHmac } from "node:crypto";
import { ristretto255, ristretto255_hasher } from "@noble/curves/ed25519.js";
import { WeaveError } from "#src/errors.js";
import type { Random } from "#src/random.js";

/**
 * CPace, a balanced password-authenticated key exchange (draft-irtf-cfrg-cpace-21), in its initiator-responder mode with the
 * cipher suite CPACE-RISTR255-SHA512. Both ends send a random multiple of a generator that depends on the password. A
 * recording of an exchange allows no guesses at all; an active attacker tests one password for each exchange. Section numbers
 * in this file are those of the draft.
 *
 * Limit: multiplication and hash use BigInt arithmetic of `@noble/curves`, which is not constant-time in the strict sense, and
 * scalars as BigInt cannot be zeroed. Byte arrays are zeroed after use.
 */

const DSI = Buffer.from("CPaceRistretto255");
const DSI_ISK = Buffer.from("CPaceRistretto255_ISK");
/** Input block of SHA-512, `s_in_bytes` of the draft. */
const BLOCK_BYTES = 128;
/** Size of an encoded group element, and of a scalar. */
export const SHARE_BYTES = 32;
/** The group's order is just above 2^252 (`group_size_bits` is 252): the upper bits of a scalar's last byte are zero. */
const LAST_BYTE_MASK = 0x0f;
/**
 * Window of the table for multiples of one generator: a multiplication then takes a quarter of the time. Larger windows cost
 * more memory, and are not faster.
 */
const TABLE_WINDOW = 4;

const NOTHING: Uint8Array = new Uint8Array(0);
const { Point } = ristretto255;
type GroupElement = InstanceType<typeof Point>;

/** Encodes the length as LEB128, then the data (`prepend_len`, appendix A.1.1). */
function prependLength(data: Uint8Array): Uint8Array {
  const length: number[] = [];
  let rest = data.length;
  do {
    length.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
    rest >>= 7;
  } while (rest > 0);
  return Buffer.concat([Uint8Array.from(length), data]);
}

/** Joins values so that no two lists give the same bytes (`lv_cat`, appendix A.1.3). */
export function joinWithLengths(...values: Uint8Array[]): Uint8Array {
  return Buffer.concat(values.map(prependLength));
}

/** Returns the input of the hash that gives the generator (`generator_string`, section 7.2): zeros complete the first block. */
export function generatorString(password: Uint8Array, channel: Uint8Array, session: Uint8Array): Uint8Array {
  const used = prependLength(password).length + prependLength(DSI).length;
  const padding = new Uint8Array(Math.max(0, BLOCK_BYTES - 1 - used));
  return joinWithLengths(DSI, password, padding, channel, session);
}

/** The values of one exchange that both ends must have in common. */
export interface CpaceContext {
  /** Shared secret of low entropy, or derived from one (`PRS`). */
  readonly password: Uint8Array;
  /** Names the protocol and the ends (`CI`). */
  readonly channel: Uint8Array;
  /** Session id (`sid`); empty where the protocol has none before the exchange. */
  readonly session?: Uint8Array;
}

/** What both ends have sent: the shares `Ya`, `Yb`, and the data that they authenticate (`ADa`, `ADb`). */
export interface CpaceTranscript {
  readonly initiatorShare: Uint8Array;
  readonly initiatorData: Uint8Array;
  readonly responderShare: Uint8Array;
  readonly responderData: Uint8Array;
}

/** The generator of a password. It is computed once, and used for any number of exchanges. */
export class CpaceGenerator {
  readonly #generator: GroupElement;
  readonly #session: Uint8Array;

  constructor({ password, channel, session = NOTHING }: CpaceContext) {
    const text = generatorString(password, channel, session);
    const hash = createHash("sha512").update(text).digest();
    this.#generator = ristretto255_hasher.deriveToCurve!(hash);
    this.#generator.precompute(TABLE_WINDOW, false);
    this.#session = session;
    text.fill(0);
    hash.fill(0);
  }

  /** The encoded generator. It is as secret as the password. */
  get bytes(): Uint8Array {
    return this.#generator.toBytes();
  }

  /** Begins an exchange with a new secret scalar, whose bytes the exchange zeroes. */
  begin(random: Pick<Random, "bytes">): CpaceExchange {
    const scalar = random.bytes(SHARE_BYTES);
    scalar[SHARE_BYTES - 1] &= LAST_BYTE_MASK;
    return new CpaceExchange(scalar, this.#generator.multiply(numberOf(scalar)).toBytes(), this.#session);
  }
}

/** One end of one exchange. The scalar is used once, and zeroed. */
export class CpaceExchange {
  readonly #scalar: Uint8Array;
  readonly #session: Uint8Array;
  /** This end's share, which it sends to the other end. */
  readonly share: Uint8Array;

  constructor(scalar: Uint8Array, share: Uint8Array, session: Uint8Array) {
    this.#scalar = scalar;
    this.share = share;
    this.#session = session;
  }

  /**
   * Computes the shared key of the exchange, 64 bytes (`ISK`), which the caller must zero. It is the same at both ends if they
   * have the same password and transcript; whether they have, a later message must prove.
   *
   * @throws WEAVE_HANDSHAKE when the other end's share is no group element, or the identity element, or this end's own
   */
  finish(theirs: Uint8Array, transcript: CpaceTranscript): Uint8Array {
    // A share that is sent back proves no knowledge.
    if (Buffer.compare(theirs, this.share) === 0) throw invalid("is this end's own");
    const point = multiplyVerified(this.#scalar, theirs);
    this.#scalar.fill(0);
    if (point === undefined) throw invalid("is no element of the group");
    const { initiatorShare, initiatorData, responderShare, responderData } = transcript;
    const secret = joinWithLengths(DSI_ISK, this.#session, point);
    const sent = joinWithLengths(initiatorShare, initiatorData, responderShare, responderData);
    const key = createHash("sha512").update(secret).update(sent).digest();
    point.fill(0);
    secret.fill(0);
    return key;
  }

  /** Zeroes the scalar of an exchange that is abandoned. */
  wipe(): void {
    this.#scalar.fill(0);
  }
}

/**
 * Multiplies an encoded group element (`scalar_mult_vfy`, section 7.2); undefined where the draft returns the identity element,
 * for which an exchange must be aborted: the input is not the encoding of an element, or the result is the identity.
 */
export function multiplyVerified(scalar: Uint8Array, encoded: Uint8Array): Uint8Array | undefined {
  let point: GroupElement;
  try {
    point = Point.fromBytes(encoded);
    // noble rejects a zero scalar, and so does this function.
    point = point.multiply(numberOf(scalar));
  } catch {
    return undefined;
  }
  return point.is0() ? undefined : point.toBytes();
}

/** Derives a key of 32 bytes from the shared key of an exchange. @param label the key's purpose */
export function keyOfExchange(shared: Uint8Array, label: string): Uint8Array {
  return createHmac("sha256", label).update(shared).digest();
}

/** A little-endian number. */
const numberOf = (bytes: Uint8Array): bigint => BigInt(`0x${Buffer.from(bytes).reverse().toString("hex")}`);

const invalid = (what: string) =>
  new WeaveError("WEAVE_HANDSHAKE", `the other end's share of the key exchange ${what}`);
