import {
  BLOCK_OVERHEAD,
  BYTE_ORDER_MAGIC,
  DIRECTION,
  type FrameDirection,
  INTERFACE,
  LINK_ETHERNET,
  OPTION,
  PACKET,
  RECEPTION,
  SECTION,
  STATISTICS,
} from "#src/pcapng/format.js";

/** Maximum bytes of a text in an option: names and descriptions of ours are shorter. */
const MAX_TEXT = 1_024;
/** Time in nanoseconds: ten to the power of minus this. */
const NANOSECONDS = 9;

export interface SectionFields {
  readonly hardware: string;
  readonly os: string;
  readonly application: string;
}

/** Makes the first block of a file. */
export function sectionBlock({ hardware, os, application }: SectionFields): Buffer {
  const head = Buffer.alloc(16);
  head.writeUInt32LE(BYTE_ORDER_MAGIC, 0);
  head.writeUInt16LE(1, 4);
  // The length of the section is not known: -1.
  head.fill(0xff, 8);
  const codes = OPTION.section;
  return block(SECTION, head, [
    text(codes.hardware, hardware),
    text(codes.os, os),
    text(codes.application, application),
  ]);
}

export interface InterfaceFields {
  readonly name: string;
  readonly description: string;
  /** Bytes that are kept of a frame, at most. */
  readonly snapLength: number;
  /** As typed; "": none. */
  readonly filter: string;
  readonly os: string;
}

/** Makes the block of an Ethernet interface, before its packets. Interfaces are numbered from 0 in the order of their blocks. */
export function interfaceBlock({ name, description, snapLength, filter, os }: InterfaceFields): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt16LE(LINK_ETHERNET, 0);
  head.writeUInt32LE(snapLength, 4);
  const codes = OPTION.interface;
  return block(INTERFACE, head, [
    text(codes.name, name),
    text(codes.description, description),
    option(codes.timeResolution, Buffer.from([NANOSECONDS])),
    // The first byte says that a text follows, as its user has typed it.
    ...(filter === "" ? [] : [option(codes.filter, Buffer.from(`\0${filter}`).subarray(0, MAX_TEXT))]),
    text(codes.os, os),
  ]);
}

/** Time since the epoch. */
export interface PacketTime {
  readonly seconds: number;
  readonly nanoseconds: number;
}

export interface PacketFields extends PacketTime {
  readonly interface: number;
  readonly bytes: Uint8Array;
  /** Length of the whole frame. */
  readonly length: number;
  readonly direction: FrameDirection;
  /** "": none. */
  readonly comment: string;
}

/** Makes the block of a frame. It has a copy of the bytes. */
export function packetBlock(fields: PacketFields): Buffer {
  const { bytes, length, direction, comment } = fields;
  const body = Buffer.alloc(20 + padded(bytes.length));
  body.writeUInt32LE(fields.interface, 0);
  writeTime(body, 4, fields);
  body.writeUInt32LE(bytes.length, 12);
  body.writeUInt32LE(length, 16);
  body.set(bytes, 20);
  const flags = Buffer.alloc(4);
  flags.writeUInt32LE(DIRECTION[direction] | receptionOf(bytes));
  const options = [option(OPTION.packet.flags, flags)];
  return block(PACKET, body, comment === "" ? options : [...options, text(OPTION.comment, comment)]);
}

export interface StatisticsFields extends PacketTime {
  readonly interface: number;
  /** Frames that passed the filter. */
  readonly received: number;
  /** Those of them that were lost, as they were read too slowly. */
  readonly dropped: number;
  /** "": none. */
  readonly comment: string;
}

/** Makes a block with the numbers of an interface so far. A later one of the same interface replaces it. */
export function statisticsBlock(fields: StatisticsFields): Buffer {
  const body = Buffer.alloc(12);
  body.writeUInt32LE(fields.interface, 0);
  writeTime(body, 4, fields);
  const options = [
    number64(OPTION.statistics.received, fields.received),
    number64(OPTION.statistics.dropped, fields.dropped),
  ];
  return block(STATISTICS, body, fields.comment === "" ? options : [...options, text(OPTION.comment, fields.comment)]);
}

const padded = (bytes: number): number => (bytes + 3) & ~3;

function block(type: number, body: Buffer, options: readonly Buffer[]): Buffer {
  const optionBytes = options.length === 0 ? 0 : options.reduce((sum, each) => sum + each.length, 4);
  const bytes = BLOCK_OVERHEAD + body.length + optionBytes;
  const all = Buffer.alloc(bytes);
  all.writeUInt32LE(type, 0);
  all.writeUInt32LE(bytes, 4);
  body.copy(all, 8);
  let at = 8 + body.length;
  // The zeros after the options are the option that ends them.
  for (const each of options) at += each.copy(all, at);
  all.writeUInt32LE(bytes, bytes - 4);
  return all;
}

function option(code: number, value: Uint8Array): Buffer {
  const all = Buffer.alloc(4 + padded(value.length));
  all.writeUInt16LE(code, 0);
  all.writeUInt16LE(value.length, 2);
  all.set(value, 4);
  return all;
}

const text = (code: number, value: string): Buffer => option(code, Buffer.from(value).subarray(0, MAX_TEXT));

function number64(code: number, value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return option(code, bytes);
}

/** Writes nanoseconds since the epoch as two words, the higher one first. */
function writeTime(buffer: Buffer, at: number, { seconds, nanoseconds }: PacketTime): void {
  const time = BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds);
  buffer.writeUInt32LE(Number(time >> 32n), at);
  buffer.writeUInt32LE(Number(time & 0xffff_ffffn), at + 4);
}

/** How the frame is addressed, by its destination MAC. */
function receptionOf(frame: Uint8Array): number {
  if (frame.length < 6) return 0;
  if (frame.subarray(0, 6).every((byte) => byte === 0xff)) return RECEPTION.broadcast;
  return (frame[0] & 1) === 1 ? RECEPTION.multicast : RECEPTION.unicast;
}
