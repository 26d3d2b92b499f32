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

/** Sets an integer option of a socket. False: the kernel did not take it. */
export type SetOption = (level: number, name: number, value: number) => boolean;

export interface BindOptions {
  readonly type: keyof typeof TYPES;
  readonly at: Endpoint;
  before(option: SetOption): void;
  after?(option: SetOption): void;
  /** The error for an address that the kernel refuses, by errno. */
  refused(code: number): WeaveError;
}

/** Makes a bound, non-blocking socket. Returns its descriptor. @throws WEAVE_NATIVE, or the error of `refused` */
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
