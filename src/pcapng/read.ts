import { WeaveError } from "#src/errors.js";
import { BLOCK_OVERHEAD, DIRECTION, type FrameDirection, OPTION, PACKET, STATISTICS } from "#src/pcapng/format.js";

/** Longest block: a frame of 64 KB with its options. */
const MAX_BLOCK = 256 << 10;

/** A whole block, with type and lengths. */
export interface Block {
  readonly type: number;
  readonly bytes: Buffer;
}

/** Divides a stream of bytes into blocks. */
export class BlockSplitter {
  #rest: Buffer = Buffer.alloc(0);

  /** Bytes of a block that is not whole yet. */
  get pending(): number {
    return this.#rest.length;
  }

  /** @returns the blocks that are whole now @throws WEAVE_MESSAGE_MALFORMED */
  push(chunk: Buffer): Block[] {
    const all = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const blocks: Block[] = [];
    let at = 0;
    while (all.length - at >= BLOCK_OVERHEAD) {
      const length = all.readUInt32LE(at + 4);
      if (length < BLOCK_OVERHEAD || length % 4 !== 0 || length > MAX_BLOCK)
        throw new WeaveError("WEAVE_MESSAGE_MALFORMED", `a block of pcapng cannot have ${length} bytes`);
      if (all.length - at < length) break;
      blocks.push({ type: all.readUInt32LE(at), bytes: all.subarray(at, at + length) });
      at += length;
    }
    this.#rest = all.subarray(at);
    return blocks;
  }
}

export interface ReadPacket {
  readonly interface: number;
  /** Nanoseconds since the epoch. */
  readonly time: bigint;
  readonly bytes: Buffer;
  /** Length of the whole frame. */
  readonly length: number;
  readonly direction: FrameDirection | undefined;
  readonly comment: string;
}

/** Reads the block of a frame; undefined for another block. @throws WEAVE_MESSAGE_MALFORMED */
export function readPacket({ type, bytes }: Block): ReadPacket | undefined {
  if (type !== PACKET) return undefined;
  const kept = bytes.length < BLOCK_OVERHEAD + 20 ? Number.NaN : bytes.readUInt32LE(20);
  // In doubles: a length near 2^32 must not become negative.
  const optionsAt = 28 + 4 * Math.ceil(kept / 4);
  if (!(optionsAt <= bytes.length - 4)) throw malformed("a packet");
  const options = blockOptions(bytes, optionsAt);
  const flags = fixed(options, OPTION.packet.flags, 4)?.readUInt32LE(0) ?? 0;
  return {
    interface: bytes.readUInt32LE(8),
    time: (BigInt(bytes.readUInt32LE(12)) << 32n) | BigInt(bytes.readUInt32LE(16)),
    bytes: bytes.subarray(28, 28 + kept),
    length: bytes.readUInt32LE(24),
    direction: (flags & 3) === DIRECTION.out ? "out" : (flags & 3) === DIRECTION.in ? "in" : undefined,
    comment: options.get(OPTION.comment)?.toString() ?? "",
  };
}

export interface ReadStatistics {
  readonly interface: number;
  readonly received: number;
  readonly dropped: number;
  readonly comment: string;
}

/** Reads the block of an interface's numbers; undefined for another block. @throws WEAVE_MESSAGE_MALFORMED */
export function readStatistics({ type, bytes }: Block): ReadStatistics | undefined {
  if (type !== STATISTICS) return undefined;
  if (bytes.length < BLOCK_OVERHEAD + 12) throw malformed("an interface's numbers");
  const options = blockOptions(bytes, 20);
  const number = (code: number) => Number(fixed(options, code, 8)?.readBigUInt64LE(0) ?? 0n);
  const { received, dropped } = OPTION.statistics;
  return {
    interface: bytes.readUInt32LE(8),
    received: number(received),
    dropped: number(dropped),
    comment: options.get(OPTION.comment)?.toString() ?? "",
  };
}

/** Reads the options from an offset to the end of a block: the last of each code. */
export function blockOptions(bytes: Buffer, from: number): Map<number, Buffer> {
  const options = new Map<number, Buffer>();
  for (let at = from; at + 4 <= bytes.length - 4; ) {
    const [code, length] = [bytes.readUInt16LE(at), bytes.readUInt16LE(at + 2)];
    if (code === OPTION.end) break;
    if (at + 4 + length > bytes.length - 4) throw malformed("an option");
    options.set(code, bytes.subarray(at + 4, at + 4 + length));
    at += 4 + ((length + 3) & ~3);
  }
  return options;
}

/** The value of an option of a fixed size. */
function fixed(options: ReadonlyMap<number, Buffer>, code: number, bytes: number): Buffer | undefined {
  const value = options.get(code);
  if (value !== undefined && value.length !== bytes) throw malformed("an option");
  return value;
}

const malformed = (what: string) => new WeaveError("WEAVE_MESSAGE_MALFORMED", `the block of ${what} is malformed`);
