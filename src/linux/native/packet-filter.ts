import { WeaveError } from "#src/errors.js";
import { errno, errnoName, libc } from "#src/linux/native/libc.js";
import { Memory } from "#src/linux/native/memory.js";
import { SOL_SOCKET } from "#src/linux/native/socket.js";

/** An instruction of a socket's filter (linux/filter.h): code, jump if true, jump if false, constant. */
export type FilterInstruction = readonly [code: number, jt: number, jf: number, k: number];

/** A filter that the kernel runs for each message or frame before it queues it: the result is the number of bytes to keep. */
export type ClassicFilter = readonly FilterInstruction[];

// linux/bpf_common.h: loads at a fixed offset in network byte order, comparison, bit test, return of a constant.
export const LOAD_HALF = 0x28;
export const LOAD_BYTE = 0x30;
export const LOAD_WORD = 0x20;
export const IF_EQUAL = 0x15;
export const IF_BITS = 0x45;
export const KEEP = 0x06;
/** A & constant. */
export const AND = 0x54;
/** X = 4 × the low half of the byte at a fixed offset: the length of an IPv4 header. */
export const INDEX_IP_HEADER = 0xb1;
/** The load of a half at X and a fixed offset. */
export const LOAD_HALF_AT_INDEX = 0x48;

const SO_ATTACH_FILTER = 26;
const INSTRUCTION_BYTES = 8;
const PROGRAM_AT = 16;

/** Attaches a filter to a socket (socket(7), SO_ATTACH_FILTER). @throws WEAVE_NATIVE */
export function attachFilter(fd: number, filter: ClassicFilter): void {
  const memory = new Memory(PROGRAM_AT + filter.length * INSTRUCTION_BYTES);
  for (const [index, [code, jt, jf, k]] of filter.entries()) {
    const at = PROGRAM_AT + index * INSTRUCTION_BYTES;
    memory.view.setUint16(at, code, true);
    memory.view.setUint8(at + 2, jt);
    memory.view.setUint8(at + 3, jf);
    memory.view.setUint32(at + 4, k, true);
  }
  // struct sock_fprog: u16 count, padding, pointer.
  memory.view.setUint16(0, filter.length, true);
  memory.pointer(8, PROGRAM_AT, filter.length * INSTRUCTION_BYTES);
  const done = libc.setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, memory.at(0, 16), 16) === 0;
  const code = errno();
  memory.free();
  if (!done) throw new WeaveError("WEAVE_NATIVE", `the kernel refused the filter of a socket: ${errnoName(code)}`);
}
