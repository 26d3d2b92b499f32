import { COOKIE_BYTES } from "#mesh/handshake/cookie.js";
import { SHARE_BYTES } from "#mesh/handshake/cpace.js";
import { Refusal } from "#mesh/refusals.js";
import { WeaveError } from "#src/errors.js";
import { VERSION } from "#src/version.js";

/** Versions of the protocol that this build has in common with others. */
export const PROTOCOL_MIN = 2;
export const PROTOCOL_MAX = 2;

/** Types of messages: the first byte of each. */
export const MESSAGE = {
  init: 1,
  response: 2,
  finish: 3,
  cookie: 4,
  /** Of responders of version 1 alone: {@link REFUSING_VERSION}. */
  refused: 5,
  share: 6,
  proof: 7,
  data: 0x10,
  /** Its content continues in the next one. */
  dataMore: 0x11,
  /** A step of the change of keys. */
  rotate: 0x12,
} as const;

/** The version whose responders send refusals: an initiator of a later one understands them, and no later responder sends any. */
export const REFUSING_VERSION = 1;

/** Largest handshake message: enough for a hello with the longest nickname. */
export const MAX_HANDSHAKE_BYTES = 2_048;

const FLAG_PASSWORD = 1;
const HEAD_BYTES = 5;

/** The clear part of the first message. Both ends authenticate it: in the key exchange of the password, and as prologue of Noise. */
export interface InitHead {
  readonly min: number;
  readonly max: number;
  /** The label of the initiator's secret; undefined: the handshake has no password. */
  readonly generation: number | undefined;
}

/** The first message. */
export interface Init extends InitHead {
  /** Empty: none. */
  readonly cookie: Uint8Array;
  /** With a password the initiator's share of CPace, without one its first message of Noise. */
  readonly body: Uint8Array;
  /** The bytes of the head, which are authenticated. */
  readonly head: Uint8Array;
}

/** Encodes the head of a first message. */
export function encodeHead({ min, max, generation }: InitHead): Uint8Array {
  const head = Buffer.alloc(HEAD_BYTES);
  head.set([min, max, generation === undefined ? 0 : FLAG_PASSWORD]);
  head.writeUInt16LE(generation ?? 0, 3);
  return head;
}

/** Encodes a first message. */
export function encodeInit(head: Uint8Array, cookie: Uint8Array, body: Uint8Array): Uint8Array {
  return typedMessage(MESSAGE.init, Buffer.concat([head, Uint8Array.of(cookie.length), cookie, body]));
}

/** Decodes what follows the type of a first message. @throws WEAVE_HANDSHAKE when it is malformed */
export function decodeInit(bytes: Uint8Array): Init {
  if (bytes.length < HEAD_BYTES + 1) throw malformedHandshake(": the first message is too short");
  const head = bytes.subarray(0, HEAD_BYTES);
  const [min, max, flags] = head;
  const generation = head[3] | (head[4] << 8);
  const cookieBytes = bytes[HEAD_BYTES];
  const cookieAt = HEAD_BYTES + 1;
  // The first message of later versions may look otherwise: its versions alone are read.
  const common = min <= PROTOCOL_MAX && max >= PROTOCOL_MIN;
  const sized =
    bytes.length === cookieAt + cookieBytes + SHARE_BYTES && (cookieBytes === 0 || cookieBytes === COOKIE_BYTES);
  const known = (flags & ~FLAG_PASSWORD) === 0 && (flags !== 0 || generation === 0);
  if (min > max || (common && !(sized && known))) throw malformedHandshake(": the first message");
  return {
    min,
    max,
    generation: flags === FLAG_PASSWORD ? generation : undefined,
    cookie: bytes.subarray(cookieAt, cookieAt + cookieBytes),
    body: bytes.subarray(cookieAt + cookieBytes),
    head,
  };
}

/** Returns the prologue of Noise. */
export function prologueOf(head: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from("weave mesh"), head]);
}

/** Puts the type in front of a message. */
export function typedMessage(type: number, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(1 + body.length);
  bytes[0] = type;
  bytes.set(body, 1);
  return bytes;
}

export const malformedHandshake = (how = ""): WeaveError =>
  new WeaveError("WEAVE_HANDSHAKE", `the handshake is malformed${how}`);

/** The error of an end that has no protocol version in common with the other one. @param older the host to upgrade */
export function noCommonVersion(theirs: string, older: string): Refusal {
  const ours = PROTOCOL_MIN === PROTOCOL_MAX ? `${PROTOCOL_MAX}` : `${PROTOCOL_MIN} to ${PROTOCOL_MAX}`;
  return new Refusal(
    "protocol",
    `the protocol versions have nothing in common (here: ${ours}, by weave ${VERSION}; there: ${theirs}): upgrade ${older}`,
  );
}
