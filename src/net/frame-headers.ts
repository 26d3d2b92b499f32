/*
 * The headers of an Ethernet frame: where they are, and the addresses in them. A frame may be cut anywhere, and may be anything: a
 * container chooses its bytes.
 */

export const ETHERTYPE = { ipv4: 0x0800, arp: 0x0806, vlan: 0x8100, ipv6: 0x86dd, qinq: 0x88a8 } as const;
export const PROTOCOL = { icmp: 1, tcp: 6, udp: 17, icmp6: 58 } as const;

const ETHERNET_BYTES = 14;
const MAX_TAGS = 2;
const IPV6_BYTES = 40;
/** Extension headers of IPv6 that are passed over: hop-by-hop options, routing, destination options. */
const EXTENSIONS = [0, 43, 60];
const MAX_EXTENSIONS = 8;

/** The headers of a frame, as far as its bytes reach. Offsets are from the start of the frame. */
export interface FrameHeaders {
  /** After all VLAN tags. */
  readonly ethertype: number;
  /** Value of the outer VLAN tag; undefined: none. */
  readonly vlan: number | undefined;
  /** Start of what the ethertype names. */
  readonly network: number;
  /** Protocol in IP; undefined: no IP, or cut. */
  readonly protocol: number | undefined;
  /** Start of what the protocol names; undefined for no IP, a later fragment, and where the frame is cut. */
  readonly transport: number | undefined;
}

/** Finds the headers of a frame; undefined for one without a whole Ethernet header. */
export function frameHeaders(frame: Uint8Array): FrameHeaders | undefined {
  if (frame.length < ETHERNET_BYTES) return undefined;
  let network = ETHERNET_BYTES;
  let ethertype = halfAt(frame, 12);
  let vlan: number | undefined;
  for (let tags = 0; tags < MAX_TAGS && isTag(ethertype) && network + 4 <= frame.length; tags++) {
    vlan ??= halfAt(frame, network) & 0x0fff;
    ethertype = halfAt(frame, network + 2);
    network += 4;
  }
  const ip =
    ethertype === ETHERTYPE.ipv4
      ? ipv4(frame, network)
      : ethertype === ETHERTYPE.ipv6
        ? ipv6(frame, network)
        : undefined;
  return { ethertype, vlan, network, protocol: ip?.protocol, transport: ip?.transport };
}

/** Reads 16 bits in network byte order. */
export const halfAt = (frame: Uint8Array, at: number): number => (frame[at] << 8) | frame[at + 1];

/** Offset of the checksum in the header of a transport protocol of the Internet checksum; undefined for others. */
export function checksumOffset(protocol: number | undefined): number | undefined {
  if (protocol === PROTOCOL.tcp) return 16;
  return protocol === PROTOCOL.udp ? 6 : undefined;
}

const isTag = (ethertype: number): boolean => ethertype === ETHERTYPE.vlan || ethertype === ETHERTYPE.qinq;

type Ip = Pick<FrameHeaders, "protocol" | "transport">;

function ipv4(frame: Uint8Array, at: number): Ip | undefined {
  if (at + 20 > frame.length) return undefined;
  const transport = at + ((frame[at] & 15) << 2);
  const isFirst = (halfAt(frame, at + 6) & 0x1fff) === 0;
  const isWhole = transport >= at + 20 && transport < frame.length;
  return { protocol: frame[at + 9], transport: isFirst && isWhole ? transport : undefined };
}

function ipv6(frame: Uint8Array, at: number): Ip | undefined {
  if (at + IPV6_BYTES > frame.length) return undefined;
  let protocol = frame[at + 6];
  let transport = at + IPV6_BYTES;
  for (let count = 0; EXTENSIONS.includes(protocol); count++) {
    if (count === MAX_EXTENSIONS || transport + 2 > frame.length) return { protocol, transport: undefined };
    protocol = frame[transport];
    transport += 8 + 8 * frame[transport + 1];
  }
  return { protocol, transport: transport < frame.length ? transport : undefined };
}
