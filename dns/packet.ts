import { WeaveError } from "#src/errors.js";

/**
 * The part of the DNS wire format (RFC 1035, RFC 6891) that answers need: the one question, the size that the client
 * accepts, and answers that refer to the question's name. Forwarded messages are not decoded.
 */

export const TYPE = { A: 1, PTR: 12, OPT: 41, ANY: 255 } as const;
export const CLASS_IN = 1;
export const RCODE = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5 } as const;

const HEADER = 12;
const QR = 0x8000;
const OPCODE = 0x7800;
const AA = 0x0400;
const TC = 0x0200;
const RD = 0x0100;
const RA = 0x0080;
const CD = 0x0010;
/** A pointer to the question's name, which always begins right after the header. */
const TO_QUESTION = 0xc000 | HEADER;
const POINTER = 0xc0;
/** RFC 1035, 4.2.1: the size that every client accepts over UDP. */
export const UDP_SIZE = 512;
/** Records after the question that are searched for an OPT; clients send one or two. */
const MAX_EXTRA = 16;

export interface Query {
  readonly id: number;
  readonly flags: number;
  /** As received, with a dot at its end; octets that are no visible ASCII are escaped as `\DDD`. */
  readonly name: string;
  readonly type: number;
  readonly class: number;
  /** Name, type and class as received: the reply repeats these octets, with the same case. */
  readonly question: Uint8Array;
  /** Octets that the client accepts over UDP. */
  readonly udpSize: number;
  readonly questions: number;
}

/** The content of a response about the question's name. */
export interface DnsReply {
  readonly rcode: number;
  readonly authoritative: boolean;
  /** Data of the answers, each of the question's type. */
  readonly answers: readonly Uint8Array[];
  /** Seconds. */
  readonly ttl: number;
}

const malformed = (why: string): WeaveError =>
  new WeaveError("WEAVE_DNS_MESSAGE", `a DNS message is malformed: ${why}`);

/** The id of a message that is at least a header. */
export const idOf = (bytes: Uint8Array): number => (bytes[0] << 8) | bytes[1];

/**
 * Reads a query. One with several questions or none has no name; no real client sends such a query.
 *
 * @throws WEAVE_DNS_MESSAGE when it is not a query: cut off, a response, a compressed question
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

/** The question's name: the first in the message, so a compressed one is malformed. */
function readName(bytes: Uint8Array): { name: string; end: number } {
  let name = "";
  let at = HEADER;
  for (;;) {
    const length = bytes[at];
    if (length === undefined) throw malformed("the name is cut off");
    if (length === 0) return { name: name === "" ? "." : name, end: at + 1 };
    if (length & POINTER) throw malformed("the question's name is compressed");
    if (at + 1 + length >= bytes.length || at + length - HEADER >= 255) throw malformed("the name is too long");
    for (let i = at + 1; i <= at + length; i++) name += octetText(bytes[i]);
    name += ".";
    at += length + 1;
  }
}

const octetText = (octet: number): string =>
  octet > 0x20 && octet < 0x7f && octet !== 0x2e && octet !== 0x5c
    ? String.fromCharCode(octet)
    : `\\${String(octet).padStart(3, "0")}`;

/** The OPT record's class is the size (RFC 6891, 6.1.2). Malformed records after the question do not prevent an answer. */
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
 * Writes a response: the question as received, then as many answers as fit.
 *
 * @param limit octets of the response; when not all answers fit, TC is set
 */
export function writeReply(query: Query, { rcode, authoritative, answers, ttl }: DnsReply, limit: number): Uint8Array {
  const start = HEADER + query.question.length;
  let size = start;
  let count = 0;
  for (const data of answers) {
    if (size + 12 + data.length > limit) break;
    size += 12 + data.length;
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
    bytes.set(data, at + 12);
    at += 12 + data.length;
  }
  return bytes;
}

/** A response to a message that could not be read; undefined for a response, or less than a header. */
export function writeError(bytes: Uint8Array, rcode: number): Uint8Array | undefined {
  if (bytes.length < HEADER || bytes[2] & (QR >> 8)) return undefined;
  const reply = new Uint8Array(HEADER);
  reply.set(bytes.subarray(0, 2));
  new DataView(reply.buffer).setUint16(2, QR | RA | rcode | (((bytes[2] << 8) | bytes[3]) & (OPCODE | RD)));
  return reply;
}

/** A response without its answers, with TC set: the client repeats the query over TCP. */
export function truncate(response: Uint8Array, query: Query): Uint8Array {
  const bytes = new Uint8Array(HEADER + query.question.length);
  bytes.set(response.subarray(0, 4));
  bytes[2] |= TC >> 8;
  bytes[5] = 1;
  bytes.set(query.question, HEADER);
  return bytes;
}

/** An IPv4 address as the data of an A record. */
export function addressData(address: string): Uint8Array {
  return Uint8Array.from(address.split("."), Number);
}

/** A name, as `parseName` returns it, as the data of a PTR record. */
export function nameData(name: string): Uint8Array {
  const parts = name
    .split(".")
    .filter((label) => label !== "")
    .map((label) => Buffer.from(label, "latin1"));
  return Buffer.concat([...parts.flatMap((part) => [Buffer.from([part.length]), part]), Buffer.from([0])]);
}

/** Whether a response answers a query: same id, and same question without regard to case. */
export function answersQuery(response: Uint8Array, id: number, question: Uint8Array): boolean {
  if (response.length < HEADER + question.length || idOf(response) !== id || !(response[2] & (QR >> 8))) return false;
  if (response[4] !== 0 || response[5] !== 1) return false;
  for (let i = 0; i < question.length; i++) if (lower(response[HEADER + i]) !== lower(question[i])) return false;
  return true;
}

/** Servers may repeat a name in another case. The effect on octets that are no letters does not matter here. */
const lower = (octet: number): number => (octet >= 0x41 && octet <= 0x5a ? octet | 0x20 : octet);
