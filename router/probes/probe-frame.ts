import { isIpv4 } from "#src/address.js";
import { isGroupMac, type MacText, macNumber, macText } from "#src/mac.js";

/** The second ethertype for experiments of one organisation (IEEE 802); heartbeats of the kernel's path have the first. */
export const PROBE_ETHERTYPE = 0x88b6;
export const ARP_ETHERTYPE = 0x0806;
const IPV4_ETHERTYPE = 0x0800;

/** Destination, source, ethertype. */
const HEADER_BYTES = 14;
/** "weave": another program may use the ethertype, too. */
const MAGIC = Buffer.from("weave", "latin1");
const TYPE_AT = HEADER_BYTES + MAGIC.length;
const TOKEN_AT = TYPE_AT + 1;
/** A random token of a probe: no host off the path can make its answer. */
export const PROBE_TOKEN_BYTES = 8;
const SHORTEST = TOKEN_AT + PROBE_TOKEN_BYTES;
const REQUEST = 1;
const ANSWER = 2;

/** A frame by which one router probes another, from bridge to bridge. */
export interface ProbeFrame {
  readonly type: "request" | "answer";
  readonly from: MacText;
  readonly to: MacText;
  readonly token: Uint8Array;
  /** Size without the Ethernet header, as of an IP packet: zeros fill it. An answer is as large as its request. */
  readonly bytes: number;
}

/** Size of a probe without filling. */
export const LEAST_PROBE_BYTES = SHORTEST - HEADER_BYTES;

export function encodeProbe({ type, from, to, token, bytes }: ProbeFrame): Uint8Array {
  const frame = Buffer.alloc(HEADER_BYTES + Math.max(bytes, LEAST_PROBE_BYTES));
  frame.writeUIntBE(macNumber(to), 0, 6);
  frame.writeUIntBE(macNumber(from), 6, 6);
  frame.writeUInt16BE(PROBE_ETHERTYPE, 12);
  frame.set(MAGIC, HEADER_BYTES);
  frame[TYPE_AT] = type === "request" ? REQUEST : ANSWER;
  frame.set(token.subarray(0, PROBE_TOKEN_BYTES), TOKEN_AT);
  return frame;
}

/** Decodes a frame; undefined when it is no probe, or its source is a group: an answer to that would go to many. */
export function decodeProbe(bytes: Uint8Array): ProbeFrame | undefined {
  if (bytes.length < SHORTEST) return undefined;
  const frame = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const type = frame[TYPE_AT];
  const isProbe = frame.readUInt16BE(12) === PROBE_ETHERTYPE && MAGIC.equals(frame.subarray(HEADER_BYTES, TYPE_AT));
  if (!isProbe || (type !== REQUEST && type !== ANSWER) || isGroupMac(frame.readUIntBE(6, 6))) return undefined;
  return {
    type: type === REQUEST ? "request" : "answer",
    from: macText(frame, 6),
    to: macText(frame),
    token: Uint8Array.from(frame.subarray(TOKEN_AT, SHORTEST)),
    bytes: bytes.length - HEADER_BYTES,
  };
}

const ARP_BYTES = HEADER_BYTES + 28;
const ARP_REQUEST = 1;
const ARP_REPLY = 2;
const OPERATION_AT = 20;

/**
 * Makes an ARP probe (RFC 5227, section 2.1.1): a request whose sender has no address, so that no host changes what it knows. The kernel of a
 * container answers it whatever its firewall drops.
 *
 * @param to MAC of the container; undefined: all are asked
 * @param from MAC of this host's bridge, to which the answer goes
 */
export function encodeArpProbe(address: string, from: MacText, to: MacText = "ff:ff:ff:ff:ff:ff"): Uint8Array {
  const frame = Buffer.alloc(ARP_BYTES);
  frame.writeUIntBE(macNumber(to), 0, 6);
  frame.writeUIntBE(macNumber(from), 6, 6);
  frame.writeUInt16BE(ARP_ETHERTYPE, 12);
  // Hardware type Ethernet, protocol IPv4, lengths of their addresses.
  frame.set([0, 1, IPV4_ETHERTYPE >> 8, IPV4_ETHERTYPE & 255, 6, 4], HEADER_BYTES);
  frame.writeUInt16BE(ARP_REQUEST, OPERATION_AT);
  frame.writeUIntBE(macNumber(from), 22, 6);
  frame.set(address.split(".").map(Number), 38);
  return frame;
}

/** An ARP reply: the MAC that claims an address. */
export interface ArpReply {
  readonly address: string;
  readonly mac: MacText;
}

/** Decodes an ARP reply for IPv4; undefined for any other frame, and for a MAC that no host can have. */
export function decodeArpReply(bytes: Uint8Array): ArpReply | undefined {
  if (bytes.length < ARP_BYTES) return undefined;
  const frame = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const kind = [0, 1, IPV4_ETHERTYPE >> 8, IPV4_ETHERTYPE & 255, 6, 4];
  if (frame.readUInt16BE(12) !== ARP_ETHERTYPE || kind.some((byte, index) => frame[HEADER_BYTES + index] !== byte))
    return undefined;
  if (frame.readUInt16BE(OPERATION_AT) !== ARP_REPLY) return undefined;
  const mac = frame.readUIntBE(22, 6);
  const address = [...frame.subarray(28, 32)].join(".");
  return mac === 0 || isGroupMac(mac) || !isIpv4(address) ? undefined : { address, mac: macText(frame, 22) };
}
