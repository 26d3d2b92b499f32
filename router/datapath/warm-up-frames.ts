import { MAX_CAPTURE, writeMac } from "#router/datapath/record.js";
import { AT_GSO_TYPE, GSO_NONE, GSO_TCPV4, GSO_UDP_L4, VNET_NEEDS_CSUM } from "#router/datapath/super-frame.js";
import { Memory } from "#src/linux/native/memory.js";
import { VNET_HEADER_BYTES } from "#src/linux/native/tap.js";

const ETHERNET = 14;
const IPV4 = 20;
const TCP_HEADER = 32;
const UDP_HEADER = 8;
/** Protocols of IPv4 (IANA): what they are decides how a frame travels. */
const PROTOCOLS = { icmp: 1, tcp: 6, udp: 17 } as const;
/** Offset of the checksum in the header of TCP and UDP; the kernel has not computed it yet. */
const CHECKSUM_AT = { tcp: 16, udp: 6 } as const;
const HEADERS = { icmp: 8, tcp: TCP_HEADER, udp: UDP_HEADER } as const;
export const BROADCAST = 0xffff_ffff_ffff;

export interface SyntheticFrame {
  readonly protocol: keyof typeof PROTOCOLS;
  /** MACs. */
  readonly from: number;
  readonly to: number;
  /** Bytes after the headers. */
  readonly payload: number;
  /** Bytes of payload in each segment; 0: the frame is none that must be segmented. */
  readonly segment: number;
}

/** A frame with its virtio header, as a TAP of this host returns one. */
export class FrameTemplate {
  readonly memory: Memory;
  readonly length: number;

  constructor({ protocol, from, to, payload, segment }: SyntheticFrame) {
    const l4 = ETHERNET + IPV4;
    const headers = l4 + HEADERS[protocol];
    const at = VNET_HEADER_BYTES;
    this.length = at + headers + payload;
    this.memory = new Memory(MAX_CAPTURE);
    const { view } = this.memory;
    const superFrame = segment > 0;
    if (protocol !== "icmp") {
      view.setUint8(0, VNET_NEEDS_CSUM);
      view.setUint16(6, l4, true);
      view.setUint16(8, CHECKSUM_AT[protocol], true);
    }
    view.setUint8(AT_GSO_TYPE, superFrame ? (protocol === "udp" ? GSO_UDP_L4 : GSO_TCPV4) : GSO_NONE);
    if (superFrame) {
      view.setUint16(2, headers, true);
      view.setUint16(4, segment, true);
    }
    writeMac(view, at, to);
    writeMac(view, at + 6, from);
    view.setUint16(at + 12, 0x0800, false);
    // IPv4 (RFC 791): version and header length, total length, time to live, protocol. Documentation addresses (RFC 5737).
    const ip = at + ETHERNET;
    view.setUint8(ip, 0x45);
    view.setUint16(ip + 2, headers - ETHERNET + payload, false);
    view.setUint8(ip + 8, 64);
    view.setUint8(ip + 9, PROTOCOLS[protocol]);
    view.setUint32(ip + 12, 0xc000_0201, false);
    view.setUint32(ip + 16, 0xc000_0202, false);
    view.setUint32(at + l4, 0x1451_1452, false);
    // TCP: header of 32 bytes (with time stamps), flags PSH and ACK. UDP: its length.
    if (protocol === "tcp") view.setUint16(at + l4 + 12, 0x8018, false);
    if (protocol === "udp") view.setUint16(at + l4 + 4, UDP_HEADER + payload, false);
  }
}
