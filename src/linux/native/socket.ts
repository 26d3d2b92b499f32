import { WeaveError } from "#src/errors.js";
import { errno, errnoName, libc } from "#src/linux/native/libc.js";
import { Memory } from "#src/linux/native/memory.js";
import { familyLayout, writeSockaddr } from "#src/linux/native/sockaddr.js";
import type { Endpoint } from "#src/net/endpoint.js";

// linux/socket.h
export const SOL_SOCKET = 1;
const TYPES = { TCP: 1, UDP: 2 } as const;
const NONBLOCK_CLOEXEC = 0x800 | 0x80000;
const OPTION_AT = 32;

/** Sets an integer option of a socket. @returns whether the kernel accepted it */
export type SetOption = (level: number, name: number, value: number) => boolean;

export interface BindOptions {
  readonly type: keyof typeof TYPES;
  /** The address to bind to. */
  readonly at: Endpoint;
  /** Sets options before bind(2). */
  before(option: SetOption): void;
  /** Sets options after bind(2). */
  after?(option: SetOption): void;
  /** Makes the error for a failed bind(2), by errno. */
  refused(code: number): WeaveError;
}

/** Makes a bound, non-blocking socket. @returns its descriptor @throws WEAVE_NATIVE, or the error of `refused` */
export function bindSocket({ type, at, before, after, refused }: BindOptions): number {
  const fd = libc.socket(familyLayout(at).domain, TYPES[type] | NONBLOCK_CLOEXEC, 0);
  if (fd < 0) throw new WeaveError("WEAVE_NATIVE", `cannot make a ${type} socket: ${errnoName(errno())}`);
  const memory = new Memory(64);
  const option: SetOption = (level, name, value) => {
    memory.view.setInt32(OPTION_AT, value, true);
    return libc.setsockopt(fd, level, name, memory.at(OPTION_AT, 4), 4) === 0;
  };
  try {
    before(option);
    const bytes = writeSockaddr(memory.view, 0, at);
    if (libc.bind(fd, memory.at(0, bytes), bytes) < 0) throw refused(errno());
    after?.(option);
    return fd;
  } catch (error) {
    libc.close(fd);
    throw error;
  } finally {
    memory.free();
  }
}
