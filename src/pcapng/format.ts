/*
 * pcapng, the file format of Wireshark (draft-ietf-opsawg-pcapng): a sequence of blocks, here little-endian, each with its type and its
 * length in front, and the length again at the end.
 */

export const SECTION = 0x0a0d_0d0a;
export const INTERFACE = 1;
export const STATISTICS = 5;
export const PACKET = 6;

export const BYTE_ORDER_MAGIC = 0x1a2b_3c4d;
/** Type and length in front, length at the end. */
export const BLOCK_OVERHEAD = 12;
/** Type of a link whose frames begin with an Ethernet header. */
export const LINK_ETHERNET = 1;

/** Codes of options. */
export const OPTION = {
  end: 0,
  comment: 1,
  section: { hardware: 2, os: 3, application: 4 },
  interface: { name: 2, description: 3, timeResolution: 9, filter: 11, os: 12 },
  packet: { flags: 2 },
  statistics: { received: 4, dropped: 5 },
} as const;

/** Bits 0 and 1 of a packet's flags. */
export const DIRECTION = { in: 1, out: 2 } as const;
/** Bits 2 to 4 of a packet's flags. */
export const RECEPTION = { unicast: 1 << 2, multicast: 2 << 2, broadcast: 3 << 2 } as const;

export type FrameDirection = keyof typeof DIRECTION;
