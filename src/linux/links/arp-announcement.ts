import { sendFrame } from "#src/linux/native/packet.js";
import { macNumber } from "#src/mac.js";

const ETHERTYPE_ARP = 0x0806;
const ETHERTYPE_IPV4 = 0x0800;
/** An Ethernet header of 14 bytes, and an ARP packet of 28. */
const FRAME_BYTES = 42;

/**
 * Makes the frame of an ARP announcement (RFC 5227, section 3): hosts replace the MAC that they know for the address.
 *
 * @param address dotted quad
 * @param mac the new MAC
 */
export function arpAnnouncement(address: string, mac: string): Uint8Array {
  const frame = Buffer.alloc(FRAME_BYTES);
  const ip = address.split(".").map(Number);
  frame.fill(0xff, 0, 6);
  frame.writeUIntBE(macNumber(mac), 6, 6);
  frame.writeUInt16BE(ETHERTYPE_ARP, 12);
  // Hardware type Ethernet, protocol IPv4, lengths of their addresses, operation request.
  frame.set([0, 1, ETHERTYPE_IPV4 >> 8, ETHERTYPE_IPV4 & 255, 6, 4, 0, 1], 14);
  frame.writeUIntBE(macNumber(mac), 22, 6);
  frame.set(ip, 28);
  frame.set(ip, 38);
  return frame;
}

/** Announces the MAC of an address to all containers on all hosts. @throws WEAVE_NATIVE */
export function announceAddress(bridge: string, address: string, mac: string): void {
  sendFrame(bridge, arpAnnouncement(address, mac));
}
