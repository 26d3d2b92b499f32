import { WeaveError } from "#src/errors.js";
import { endpoint } from "#src/linux/native/endpoint.js";
import { errno, errnoName, libc } from "#src/linux/native/libc.js";
import { Memory } from "#src/linux/native/memory.js";

// linux/socket.h, linux/in.h
export const AF_INET = 2;
export const SOL_SOCKET = 1;
const TYPES = { TCP: 1, UDP: 2 } as const;
const NONBLOCK_CLOEXEC = 0x800 | 0x80000;
const OPTION_AT = 32;

/** Sets an integer option of a socket. False: the kernel did not take it. */
export type SetOption = (level: number, name: number, value: number) => boolean;

export interface BindOptions {
  readonly type: keyof typeof TYPES;
  /** Dotted quad; `0.0.0.0` for all addresses. */
  readonly host: string;
  readonly port: number;
  before(option: SetOption): void;
  after?(option: SetOption): void;
  /** What to throw when the kernel refuses the address, by errno. */
  refused(code: number): WeaveError;
}

/** Makes a bound, non-blocking socket. Returns its descriptor. @throws WEAVE_NATIVE, and what `refused` gives */
export function bindSocket({ type, host, port, before, after, refused }: BindOptions): number {
  const fd = libc.socket(AF_INET, TYPES[type] | NONBLOCK_CLOEXEC, 0);
  if (fd < 0) throw new WeaveError("WEAVE_NATIVE", `cannot make a ${type} socket: ${errnoName(errno())}`);
  const memory = new Memory(64);
  const option: SetOption = (level, name, value) => {
    memory.view.setInt32(OPTION_AT, value, true);
    return libc.setsockopt(fd, level, name, memory.at(OPTION_AT, 4), 4) === 0;
  };
  try {
    before(option);
    // struct sockaddr_in (ip(7)): family, port and address in network order.
    memory.view.setUint16(0, AF_INET, true);
    memory.view.setUint16(2, port, false);
    memory.view.setUint32(4, Math.floor(endpoint(host, 0) / 65536), false);
    if (libc.bind(fd, memory.at(0, 16), 16) < 0) throw refused(errno());
    after?.(option);
    return fd;
  } catch (error) {
    libc.close(fd);
    throw error;
  } finally {
    memory.free();
  }
}
