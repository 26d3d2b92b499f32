import { WeaveError } from "#src/errors.js";

/**
 * The part of the DNS wire format (RFC 1035, RFC 6891) that answers need: one question, the size that the client accepts, and
 * answers that refer to the question's name. Forwarded messages are not decoded.
 */

export const TYPE = { A: 1, PTR: 12, OPT: 41, ANY: 255 } as const;
export const CLASS_IN = 1;
export const RCODE = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5 } as const;

/** Octets of the header. */
const HEADER = 12;
/** Octets of an answer before its data: pointer to the name, type, class, TTL, length. */
const ANSWER_HEAD = 12;
/** Most octets of a name (RFC 1035, 2.3.4). */
const MAX_WIRE_NAME = 255;
const QR = 0x8000;
const OPCODE = 0x7800;
const AA = 0x0400;
const TC = 0x0200;
const RD = 0x0100;
const RA = 0x0080;
const CD = 0x0010;
/** A compression pointer to the question's name, which begins right after the header. */
const TO_QUESTION = 0xc000 | HEADER;
/** The two bits of a length octet that mark a compression pointer. */
const POINTER = 0xc0;
/** Octets that every client accepts over UDP (RFC 1035, 4.2.1). */
export const UDP_SIZE = 512;
/** Maximum number of records after the question that are searched for an OPT; clients send one or two records. */
const MAX_EXTRA = 16;

/** A decoded query. */
export interface Query {
  readonly id: number;
  readonly flags: number;
  /** The name as received, with a final dot; octets that are no visible ASCII are escaped as `\DDD`. */
  readonly name: string;
  readonly type: number;
  readonly class: number;
  /** The octets of name, type and class as received, which the reply repeats. */
  readonly question: Uint8Array;
  /** Octets that the client accepts over UDP. */
  readonly udpSize: number;
  /** Number of questions. */
  readonly questions: number;
}

/** The content of a response about the question's name. */
export interface DnsReply {
  readonly rcode: number;
  readonly authoritative: boolean;
  /** Data of the answers, all of the question's type. */
  readonly answers: readonly Uint8Array[];
  /** Time to live of the answers, in seconds. */
  readonly ttl: number;
}

const malformed = (why: string): WeaveError =>
  new WeaveError("WEAVE_DNS_MESSAGE", `a DNS message is malformed: ${why}`);

/** Returns the id of a message. @param bytes at least a header */
export const idOf = (bytes: Uint8Array): number => (bytes[0] << 8) | bytes[1];

/**
 * Decodes a query. The name is empty for a query with no question or several, which no real client sends.
 *
 * @throws WEAVE_DNS_MESSAGE for a response, a truncated message or a compressed question
 */
export function readQuery(bytes: Uint8Array): Query {
  if (bytes.length < HEADER) throw malformed("it is shorter than a header");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const flags = view.getUint16(2);
  if (flags & QR) throw malformed("it is a response");
  const questions = view.getUint16(4);
  const base = { id: view.getUint16(0), flags, questions };
  if (questions !== 1) return { ...base, name: "", type: 0, class: 0, question: new Uint8Array(), udpSize: UDP_SIZE };
  const { name, end } = readName(bytes);
  if (end + 4 > bytes.length) throw malformed("the question is cut off");
  const records = view.getUint16(6) + view.getUint16(8) + view.getUint16(10);
  return {
    ...base,
    name,
    type: view.getUint16(end),
    class: view.getUint16(end + 2),
    question: bytes.subarray(HEADER, end + 4),
    udpSize: records === 0 ? UDP_SIZE : findUdpSize(bytes, view, end + 4, Math.min(records, MAX_EXTRA)),
  };
}

/** Reads the question's name. It is the first name of the message: a compressed one is malformed. */
function readName(bytes: Uint8Array): { name: string; end: number } {
  let name = "";
  let at = HEADER;
  for (;;) {
    const length = bytes[at];
    if (length === undefined) throw malformed("the name is cut off");
    if (length === 0) return { name: name === "" ? "." : name, end: at + 1 };
    if (length & POINTER) throw malformed("the question's name is compressed");
    if (at + 1 + length >= bytes.length || at + length - HEADER >= MAX_WIRE_NAME)
      throw malformed("the name is too long");
    for (let i = at + 1; i <= at + length; i++) name += octetText(bytes[i]);
    name += ".";
    at += length + 1;
  }
}

const octetText = (octet: number): string =>
  octet > 0x20 && octet < 0x7f && octet !== 0x2e && octet !== 0x5c
    ? String.fromCharCode(octet)
    : `\\${String(octet).padStart(3, "0")}`;

/** Reads the UDP size that the client accepts: the class of the OPT record (RFC 6891, 6.1.2). Malformed records end the search. */
function findUdpSize(bytes: Uint8Array, view: DataView, from: number, records: number): number {
  let at = from;
  for (let i = 0; i < records; i++) {
    while (at < bytes.length && bytes[at] !== 0 && !(bytes[at] & POINTER)) at += bytes[at] + 1;
    at += at < bytes.length && bytes[at] & POINTER ? 2 : 1;
    if (at + 10 > bytes.length) return UDP_SIZE;
    if (view.getUint16(at) === TYPE.OPT) return Math.max(UDP_SIZE, view.getUint16(at + 2));
    at += 10 + view.getUint16(at + 8);
  }
  return UDP_SIZE;
}

/**
 * Encodes a response: the question as received, and as many answers as fit.
 *
 * @param limit maximum number of octets of the response; TC is set when not all answers fit
 */
export function writeReply(query: Query, { rcode, authoritative, answers, ttl }: DnsReply, limit: number): Uint8Array {
  const start = HEADER + query.question.length;
  let size = start;
  let count = 0;
  for (const data of answers) {
    if (size + ANSWER_HEAD + data.length > limit) break;
    size += ANSWER_HEAD + data.length;
    count++;
  }
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  const truncated = count < answers.length;
  view.setUint16(0, query.id);
  view.setUint16(
    2,
    QR | RA | rcode | (query.flags & (OPCODE | RD | CD)) | (authoritative ? AA : 0) | (truncated ? TC : 0),
  );
  view.setUint16(4, query.question.length > 0 ? 1 : 0);
  view.setUint16(6, count);
  bytes.set(query.question, HEADER);
  let at = start;
  for (const data of answers.slice(0, count)) {
    view.setUint16(at, TO_QUESTION);
    view.setUint16(at + 2, query.type === TYPE.ANY ? TYPE.A : query.type);
    view.setUint16(at + 4, CLASS_IN);
    view.setUint32(at + 6, ttl);
    view.setUint16(at + 10, data.length);
    bytes.set(data, at + ANSWER_HEAD);
    at += ANSWER_HEAD + data.length;
  }
  return bytes;
}

/** Encodes an error response to a message that could not be decoded; undefined for a response, or less than a header. */
export function writeError(bytes: Uint8Array, rcode: number): Uint8Array | undefined {
  if (bytes.length < HEADER || bytes[2] & (QR >> 8)) return undefined;
  const reply = new Uint8Array(HEADER);
  reply.set(bytes.subarray(0, 2));
  new DataView(reply.buffer).setUint16(2, QR | RA | rcode | (((bytes[2] << 8) | bytes[3]) & (OPCODE | RD)));
  return reply;
}

/** Returns a response without its answers and with TC set: the client repeats the query over TCP. */
export function truncate(response: Uint8Array, query: Query): Uint8Array {
  const bytes = new Uint8Array(HEADER + query.question.length);
  bytes.set(response.subarray(0, 4));
  bytes[2] |= TC >> 8;
  bytes[5] = 1;
  bytes.set(query.question, HEADER);
  return bytes;
}

/** Encodes an IPv4 address as the data of an A record. */
export function addressData(address: string): Uint8Array {
  return Uint8Array.from(address.split("."), Number);
}

/** Encodes a name of `parseName` as the data of a PTR record. */
export function nameData(name: string): Uint8Array {
  const parts = name
    .split(".")
    .filter((label) => label !== "")
    .map((label) => Buffer.from(label, "latin1"));
  return Buffer.concat([...parts.flatMap((part) => [Buffer.from([part.length]), part]), Buffer.from([0])]);
}

/** Whether a response answers a query: it has the same id and, without regard to case, the same question. */
export function answersQuery(response: Uint8Array, id: number, question: Uint8Array): boolean {
  if (response.length < HEADER + question.length || idOf(response) !== id || !(response[2] & (QR >> 8))) return false;
  if (response[4] !== 0 || response[5] !== 1) return false;
  for (let i = 0; i < question.length; i++) if (lower(response[HEADER + i]) !== lower(question[i])) return false;
  return true;
}

/** Converts an octet to lower case, because servers may repeat a name in another case. Octets of type and class are converted at both sides alike. */
const lower = (octet: number): number => (octet >= 0x41 && octet <= 0x5a ? octet | 0x20 : octet);
