import { sendFrame } from "#src/linux/native/packet.js";
import { macNumber } from "#src/mac.js";

const ETHERTYPE_ARP = 0x0806;
const ETHERTYPE_IPV4 = 0x0800;

/**
 * An ARP announcement (RFC 5227, section 3): hosts that have another MAC for the address replace it.
 *
 * @param address dotted quad
 */
export function arpAnnouncement(address: string, mac: string): Uint8Array {
  const frame = Buffer.alloc(42);
  const ip = address.split(".").map(Number);
  frame.fill(0xff, 0, 6);
  frame.writeUIntBE(macNumber(mac), 6, 6);
  frame.writeUInt16BE(ETHERTYPE_ARP, 12);
  // Ethernet, IPv4, lengths of their addresses, request.
  frame.set([0, 1, ETHERTYPE_IPV4 >> 8, ETHERTYPE_IPV4 & 255, 6, 4, 0, 1], 14);
  frame.writeUIntBE(macNumber(mac), 22, 6);
  frame.set(ip, 28);
  frame.set(ip, 38);
  return frame;
}

/** Announces the MAC of an address to all containers of all hosts. @throws WEAVE_NATIVE */
export function announceAddress(bridge: string, address: string, mac: string): void {
  sendFrame(bridge, arpAnnouncement(address, mac));
}
