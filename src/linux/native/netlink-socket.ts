import { WeaveError } from "#src/errors.js";
import { onInput } from "#src/linux/native/input-signal.js";
import { Errno, errno, errnoName, libc } from "#src/linux/native/libc.js";
import { Memory } from "#src/linux/native/memory.js";
import { attachFilter, type ClassicFilter } from "#src/linux/native/packet-filter.js";
import { SOL_SOCKET } from "#src/linux/native/socket.js";

// linux/socket.h, linux/netlink.h
const AF_NETLINK = 16;
/** SOCK_RAW, SOCK_CLOEXEC, SOCK_NONBLOCK. */
const RAW_SOCKET = 3 | 0x80000 | 0x800;
const PROTOCOLS = { route: 0, generic: 16 } as const;
const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const SO_RCVBUFFORCE = 33;
/** struct sockaddr_nl: family, padding, port id, groups. */
const SOCKADDR_BYTES = 12;
const PORT_ID_AT = 4;
const MSG_TRUNC = 0x20;

/** Largest message that is sent, and largest answer that is read, in bytes: the kernel's own parts of a dump have 32 KB at most. */
export const MAX_NETLINK_BYTES = 64 << 10;
const RECEIVE_BYTES = 64 << 10;
// Offsets in the memory of a socket.
const ADDRESS_AT = 0;
const LENGTH_AT = 16;
const OPTION_AT = 24;
const SEND_AT = 64;
const RECEIVE_AT = SEND_AT + MAX_NETLINK_BYTES;
/**
 * Receive buffer in bytes; the kernel doubles it, and counts about 800 bytes for a message of 100. Acknowledgements of a batch fit. So do
 * some 2,600 events, fewer than the signals that input-signal.ts can have pending.
 */
const BUFFER_BYTES = 1 << 20;

export type NetlinkProtocol = keyof typeof PROTOCOLS;

/** What a read has found. "overrun": the kernel dropped messages, because the buffer was full. */
export type NetlinkInput = Uint8Array | "empty" | "overrun";

export interface NetlinkSocketOptions {
  /** Multicast groups whose messages are received (RTNLGRP_…, linux/rtnetlink.h). */
  readonly groups?: readonly number[];
  /** Passes the messages that are received. */
  readonly filter?: ClassicFilter;
}

/** A socket to the kernel's configuration (netlink(7)). It belongs to the network namespace in which it is made. */
export class NetlinkSocket {
  readonly #fd: number;
  readonly #memory = new Memory(RECEIVE_AT + RECEIVE_BYTES);
  /** Calls on other threads that use the memory. */
  #busy = 0;
  #closed = false;
  #endInput: (() => void) | undefined;

  /** @throws WEAVE_NATIVE */
  constructor(protocol: NetlinkProtocol, { groups = [], filter }: NetlinkSocketOptions = {}) {
    this.#fd = libc.socket(AF_NETLINK, RAW_SOCKET, PROTOCOLS[protocol]);
    if (this.#fd < 0) {
      const code = errno();
      this.#memory.free();
      throw new WeaveError("WEAVE_NATIVE", `cannot make a netlink socket: ${errnoName(code)}`);
    }
    try {
      this.#option(SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES);
      // Texts of errors, without the request. A kernel that lacks them answers with numbers.
      this.#option(SOL_NETLINK, NETLINK_CAP_ACK, 1);
      this.#option(SOL_NETLINK, NETLINK_EXT_ACK, 1);
      if (filter !== undefined) attachFilter(this.#fd, filter);
      const { view } = this.#memory;
      view.setUint16(ADDRESS_AT, AF_NETLINK, true);
      if (libc.bind(this.#fd, this.#memory.at(ADDRESS_AT, SOCKADDR_BYTES), SOCKADDR_BYTES) < 0) throw failed("bind");
      for (const group of groups)
        if (!this.#option(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)) throw failed(`join group ${group} of`);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /**
   * Sends messages, which the kernel handles within the call. The call runs on a thread of its own: other programs may hold the lock of the
   * kernel's network configuration for long. Nothing else may be sent meanwhile.
   *
   * @throws WEAVE_NATIVE, WEAVE_BOUNDS
   */
  async send(messages: Uint8Array): Promise<void> {
    if (messages.length > MAX_NETLINK_BYTES)
      throw new WeaveError("WEAVE_BOUNDS", `${messages.length} bytes are too long for one netlink message`);
    // Released memory must not be touched.
    this.#checkOpen();
    this.#memory.u8.set(messages, SEND_AT);
    const sent = await this.#elsewhere((done) =>
      libc.write.async(this.#fd, this.#memory.at(SEND_AT, messages.length), messages.length, done),
    );
    // A message may have keys in it.
    if (!this.#closed) this.#memory.u8.fill(0, SEND_AT, SEND_AT + messages.length);
    if (sent !== messages.length) throw failed("write to", sent < 0 ? -sent : Errno.EMSGSIZE);
  }

  /** Reads messages on a thread of its own: the kernel makes the next part of a dump within the call. @throws WEAVE_CANCELLED */
  async receive(): Promise<NetlinkInput> {
    this.#checkOpen();
    this.#prepare();
    // The bytes are copied within the call: the socket may be closed before the caller continues.
    let input: NetlinkInput = "empty";
    await this.#elsewhere(
      (done) => libc.recvfrom.async(...this.#receiveArguments(), done),
      (count) => {
        input = this.#input(count);
      },
    );
    return input;
  }

  /** Reads what has arrived already. */
  receiveNow(): NetlinkInput {
    if (this.#closed) return "empty";
    this.#prepare();
    const count = Number(libc.recvfrom(...this.#receiveArguments()));
    return this.#input(count < 0 ? -errno() : count);
  }

  /** Calls `ready` when there is input: see {@link onInput}. Until the socket is closed. */
  onInput(ready: () => void): void {
    this.#endInput = onInput(this.#fd, ready);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#endInput?.();
    if (this.#busy === 0) this.#release();
  }

  #release(): void {
    libc.close(this.#fd);
    this.#memory.u8.fill(0, SEND_AT, RECEIVE_AT);
    this.#memory.free();
  }

  #checkOpen(): void {
    if (this.#closed) throw new WeaveError("WEAVE_CANCELLED", "the netlink socket is closed");
  }

  /** @param ended called with the result, or minus errno, while the memory exists */
  #elsewhere(
    call: (done: (error: unknown, result: number) => void) => void,
    ended: (result: number) => void = () => {},
  ): Promise<number> {
    this.#busy++;
    return new Promise((resolve, reject) => {
      call((error, result) => {
        const code = errno();
        this.#busy--;
        if (this.#closed) {
          if (this.#busy === 0) this.#release();
          reject(new WeaveError("WEAVE_CANCELLED", "the netlink socket was closed"));
        } else if (error) reject(error as Error);
        else {
          const value = Number(result) < 0 ? -code : Number(result);
          ended(value);
          resolve(value);
        }
      });
    });
  }

  #prepare(): void {
    this.#memory.view.setUint32(LENGTH_AT, SOCKADDR_BYTES, true);
  }

  #receiveArguments(): [number, number, number, number, number, number] {
    const memory = this.#memory;
    const address = memory.at(ADDRESS_AT, SOCKADDR_BYTES);
    return [this.#fd, memory.at(RECEIVE_AT, RECEIVE_BYTES), RECEIVE_BYTES, MSG_TRUNC, address, memory.at(LENGTH_AT, 4)];
  }

  /** @param result number of bytes, or minus errno. @returns a copy */
  #input(result: number): NetlinkInput {
    if (result === -Errno.ENOBUFS) return "overrun";
    if (result < 0) return "empty";
    // Other processes may send to any netlink socket; the kernel's port id is 0. A longer message has been cut.
    if (this.#memory.view.getUint32(ADDRESS_AT + PORT_ID_AT, true) !== 0) return new Uint8Array();
    if (result > RECEIVE_BYTES) return "overrun";
    const bytes = this.#memory.u8.slice(RECEIVE_AT, RECEIVE_AT + result);
    // WireGuard's state has keys in it.
    this.#memory.u8.fill(0, RECEIVE_AT, RECEIVE_AT + result);
    return bytes;
  }

  #option(level: number, name: number, value: number): boolean {
    this.#memory.view.setInt32(OPTION_AT, value, true);
    return libc.setsockopt(this.#fd, level, name, this.#memory.at(OPTION_AT, 4), 4) === 0;
  }
}

const failed = (what: string, code = errno()) =>
  new WeaveError("WEAVE_NATIVE", `cannot ${what} a netlink socket: ${errnoName(code)}`);
