import { canonicalIpv6 } from "#src/address.js";
import { macText } from "#src/mac.js";
import { ETHERTYPE, type FrameHeaders, frameHeaders, halfAt, PROTOCOL } from "#src/net/frame-headers.js";
import type { ReadPacket } from "#src/pcapng/read.js";

/** A frame in words: what `weave capture` prints of it. */
export interface FrameText {
  readonly time: Date;
  /** Microseconds of the second. */
  readonly micros: number;
  readonly direction: "in" | "out" | "";
  readonly from: string;
  readonly to: string;
  readonly protocol: string;
  /** Network addresses, with ports where the protocol has some; "": none. */
  readonly source: string;
  readonly target: string;
  /** What is special about it: flags of TCP, a cut, a VLAN. */
  readonly notes: readonly string[];
  /** Length of the whole frame in bytes. */
  readonly length: number;
}

const NAMES: Readonly<Record<number, string>> = {
  [PROTOCOL.icmp]: "ICMP",
  [PROTOCOL.tcp]: "TCP",
  [PROTOCOL.udp]: "UDP",
  [PROTOCOL.icmp6]: "ICMPv6",
  132: "SCTP",
};
/** Flags of TCP from the lowest bit on, as tcpdump writes them; "." is ACK. */
const TCP_FLAGS = ["F", "S", "R", "P", ".", "U"];
const ARP_OPERATIONS: Readonly<Record<number, string>> = { 1: "request", 2: "reply" };
const ICMP_ECHO: Readonly<Record<number, string>> = { 0: "echo reply", 8: "echo request" };
const ICMP6_ECHO: Readonly<Record<number, string>> = { 128: "echo request", 129: "echo reply" };

/** Reads what a line shows. It trusts no byte of the frame. */
export function frameText({ bytes, time, length, direction, comment }: ReadPacket): FrameText {
  const headers = frameHeaders(bytes);
  const common = {
    time: new Date(Number(time / 1_000_000n)),
    micros: Number((time / 1_000n) % 1_000_000n),
    direction: direction ?? ("" as const),
    from: headers === undefined ? "?" : macText(bytes, 6),
    to: headers === undefined ? "?" : macText(bytes, 0),
    length,
  };
  if (headers === undefined) return { ...common, protocol: "?", source: "", target: "", notes: ["too short"] };
  const { source, target } = addresses(bytes, headers);
  const notes = [
    ...(headers.vlan === undefined ? [] : [`vlan ${headers.vlan}`]),
    ...detail(bytes, headers),
    ...(bytes.length < length ? [`cut at ${bytes.length}`] : []),
    ...(comment === "" ? [] : [comment]),
  ];
  return { ...common, protocol: protocolName(headers), source, target, notes };
}

/** One line for a terminal. */
export function frameLine(text: FrameText): string {
  const clock = text.time.toTimeString().slice(0, 8);
  const time = `${clock}.${String(text.micros).padStart(6, "0")}`;
  const ends = text.source === "" ? "" : ` ${text.source} > ${text.target}`;
  const notes = text.notes.length === 0 ? "" : ` (${text.notes.join(", ")})`;
  return `${time} ${text.direction.padEnd(3)} ${text.from} > ${text.to} ${text.protocol}${ends} ${text.length} bytes${notes}`;
}

function protocolName({ ethertype, protocol }: FrameHeaders): string {
  if (ethertype === ETHERTYPE.arp) return "ARP";
  if (ethertype !== ETHERTYPE.ipv4 && ethertype !== ETHERTYPE.ipv6)
    return `0x${ethertype.toString(16).padStart(4, "0")}`;
  if (protocol === undefined) return ethertype === ETHERTYPE.ipv4 ? "IPv4" : "IPv6";
  return NAMES[protocol] ?? `IP protocol ${protocol}`;
}

function addresses(bytes: Buffer, { ethertype, network, protocol, transport }: FrameHeaders) {
  const none = { source: "", target: "" };
  if (ethertype === ETHERTYPE.arp && network + 28 <= bytes.length)
    return { source: ipv4Text(bytes, network + 14), target: ipv4Text(bytes, network + 24) };
  if (protocol === undefined) return none;
  const isV4 = ethertype === ETHERTYPE.ipv4;
  const text = isV4 ? ipv4Text : ipv6Text;
  const [source, target] = isV4
    ? [text(bytes, network + 12), text(bytes, network + 16)]
    : [text(bytes, network + 8), text(bytes, network + 24)];
  const hasPorts = protocol === PROTOCOL.tcp || protocol === PROTOCOL.udp;
  if (!hasPorts || transport === undefined || transport + 4 > bytes.length) return { source, target };
  const withPort = (address: string, at: number) => `${isV4 ? address : `[${address}]`}:${halfAt(bytes, at)}`;
  return { source: withPort(source, transport), target: withPort(target, transport + 2) };
}

function detail(bytes: Buffer, { ethertype, network, protocol, transport }: FrameHeaders): string[] {
  if (ethertype === ETHERTYPE.arp && network + 8 <= bytes.length) {
    const operation = halfAt(bytes, network + 6);
    return [ARP_OPERATIONS[operation] ?? `operation ${operation}`];
  }
  if (protocol === undefined) return [];
  if (transport === undefined) return ["fragment"];
  if (protocol === PROTOCOL.tcp && transport + 14 <= bytes.length) {
    const flags = bytes[transport + 13];
    return [TCP_FLAGS.filter((_, bit) => (flags & (1 << bit)) !== 0).join("") || "no flags"];
  }
  const kind = bytes[transport];
  if (protocol === PROTOCOL.icmp) return [ICMP_ECHO[kind] ?? `type ${kind}`];
  if (protocol === PROTOCOL.icmp6) return [ICMP6_ECHO[kind] ?? `type ${kind}`];
  return [];
}

const ipv4Text = (bytes: Buffer, at: number): string => [...bytes.subarray(at, at + 4)].join(".");

function ipv6Text(bytes: Buffer, at: number): string {
  const groups = Array.from({ length: 8 }, (_, index) => halfAt(bytes, at + 2 * index).toString(16)).join(":");
  return canonicalIpv6(groups) ?? groups;
}
