import { AAD_BYTES, NONCE_BYTES, TAG_BYTES } from "#src/linux/native/record-cipher.js";

/**
 * The wire format of sleeve: independent records of one or a few datagrams. Multi-byte numbers are little-endian, except the
 * nonce, the peer names and the contents of frames. A lost datagram costs its record and nothing else.
 *
 *   datagram   ┌──────┬───────┬───────┬─────────────┬─────────┬───────────┬──────────┐
 *              │ type │ index │ count │ lane, epoch │ session │ counter32 │ fragment │
 *              │ u8   │ u8    │ u8    │ u4, u4      │ u32     │ u32       │          │
 *              └──────┴───────┴───────┴─────────────┴─────────┴───────────┴──────────┘
 *                `index` of `count` fragments; `session` is the receiver's own number for the sender; `lane` is the sender's
 *                thread and `epoch` the generation of keys: together they name the key.
 *
 *   record     ┌─────────┬──────┬──────┬───────────┬───────────┬─────────┬──────┬─────────┬─────┐
 *   (fragments │ counter │ kind │ hops │ source    │ dest      │ padding │ body │ padding │ tag │
 *    joined)   │ u64 BE  │ u8   │ u8   │ peer, 6 B │ peer, 6 B │ u16     │      │         │ 16 B│
 *              └─────────┴──────┴──────┴───────────┴───────────┴─────────┴──────┴─────────┴─────┘
 *                sealed from `kind` to the end of the padding; a zero `dest` means: flood. The padding makes fragments equal:
 *                the kernel can then cut many records with one call.
 *
 *   body of kind FRAMES   { length u16, virtio header 10 B, Ethernet frame } repeated, each at an even offset; length 0: the
 *                         rest of the body, for a frame whose length exceeds 16 bits
 *   body of kind SEGMENTS descriptor 16 B, frame headers, payload: a run of whole segments of one super-frame
 *   body of kind CONTROL  one message of the sleeve (see path-message.ts), never relayed
 *
 * The tag authenticates the session, the lane, the epoch and the count of datagrams too. It proves the indices: fragments in a
 * wrong order do not open. counter32 only groups fragments: the replay window uses the counter in the record.
 */
export const DATAGRAM_TYPE = 0x57;
export const DATAGRAM_HEADER = 12;

const RECORD_HEADER = NONCE_BYTES + 16;
export const RECORD_OVERHEAD = RECORD_HEADER + TAG_BYTES;

export const KIND_FRAMES = 0;
export const KIND_SEGMENTS = 1;
export const KIND_CONTROL = 2;

/** Offsets in a record. */
export const AT_KIND = NONCE_BYTES;
export const AT_HOPS = NONCE_BYTES + 1;
export const AT_SOURCE = NONCE_BYTES + 2;
export const AT_DEST = NONCE_BYTES + 8;
export const AT_PADDING = NONCE_BYTES + 14;
export const AT_BODY = RECORD_HEADER;

/** Offset in a datagram of the byte with its lane (upper half) and epoch (lower half). */
export const AT_LANE = 3;
/** A lane has four bits. */
export const MAX_LANES = 16;
/** An epoch has four bits; at most three epochs are in use at the same time. */
export const EPOCHS = 16;

/** Maximum hops of a frame: more than the diameter of any sane topology, and few enough to end a loop while routes change. */
export const MAX_HOPS = 32;

/** Maximum fragments of a record: `index` and `count` have one byte each. */
export const MAX_FRAGMENTS = 255;

/** Bytes of the longest frame, virtio header included, that has its length in the record. */
export const MAX_COUNTED = 0xffff;

/** Maximum bytes of a record: one frame of {@link MAX_CAPTURE} bytes, the record's overhead, and padding. */
export const MAX_RECORD = 65_664;

/** Maximum bytes of one read of a TAP: virtio header, Ethernet header, two VLAN tags, and the largest IP packet. */
export const MAX_CAPTURE = 10 + 14 + 8 + 65_535;

/** Writes the additional authenticated data (AAD) of a record. */
export function writeAad(aad: Uint8Array, session: number, laneEpoch: number, count: number): void {
  aad[0] = session;
  aad[1] = session >>> 8;
  aad[2] = session >>> 16;
  aad[3] = session >>> 24;
  aad[4] = laneEpoch;
  aad[5] = count;
  for (let i = 6; i < AAD_BYTES; i++) aad[i] = 0;
}

/** Reads a 64-bit big-endian counter. Counters stay far below 2^53: at ten million records a second for 28 years. */
export function readCounter(view: DataView, offset: number): number {
  return view.getUint32(offset, false) * 0x1_0000_0000 + view.getUint32(offset + 4, false);
}

/** Reads six bytes in network order: a MAC or a peer name as a number. */
export function readMac(view: DataView, offset: number): number {
  return view.getUint16(offset, false) * 0x1_0000_0000 + view.getUint32(offset + 2, false);
}

export function writeMac(view: DataView, offset: number, value: number): void {
  view.setUint16(offset, Math.floor(value / 0x1_0000_0000), false);
  view.setUint32(offset + 2, value >>> 0, false);
}

/** Bytes of the largest IP packet that fits one datagram of `datagramBytes`: `mtu` in status. */
export function innerMtu(datagramBytes: number): number {
  const FRAME_PREFIX = 2 + 10;
  const ETHERNET_HEADER = 14;
  return datagramBytes - DATAGRAM_HEADER - RECORD_OVERHEAD - FRAME_PREFIX - ETHERNET_HEADER;
}
