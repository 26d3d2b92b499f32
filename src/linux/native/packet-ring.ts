import { WeaveError } from "#src/errors.js";
import { errno, errnoName, libc, viewOf } from "#src/linux/native/libc.js";
import { Memory } from "#src/linux/native/memory.js";
import { attachFilter, type ClassicFilter } from "#src/linux/native/packet-filter.js";

/*
 * A ring that the kernel fills with copies of an interface's frames (packet(7), PACKET_RX_RING; Documentation/networking/packet_mmap.rst,
 * version 3). To read takes no system call; while nothing is read, a full ring drops and counts.
 */

// linux/socket.h, linux/net.h, linux/if_packet.h, linux/if_ether.h
const AF_PACKET = 17;
/** SOCK_RAW, SOCK_NONBLOCK, SOCK_CLOEXEC. */
const RAW_SOCKET = 3 | 0x800 | 0x80000;
const SOL_PACKET = 263;
const ADD_MEMBERSHIP = 1;
const RX_RING = 5;
const STATISTICS = 6;
const VERSION = 10;
const TPACKET_V3 = 2;
const PROMISCUOUS = 1;
const ETH_P_ALL = 3;
const OUTGOING = 4;
const SOCKADDR_BYTES = 20;
const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;

/** A block has room for one super-frame at least; the kernel does not write a frame across two blocks. */
const BLOCK_BYTES = 128 << 10;
const BLOCKS = 32;
const RING_BYTES = BLOCKS * BLOCK_BYTES;
/** Only the sum of all frames counts for version 3: blocks are filled with frames of any size. */
const FRAME_BYTES = 2_048;
/** The kernel hands over a block that is not full after this time. */
const RETIRE_MS = 20;

// struct tpacket_block_desc: version, offset of private data, then struct tpacket_hdr_v1.
const BLOCK_STATUS_AT = 8;
const BLOCK_COUNT_AT = 12;
const BLOCK_FIRST_AT = 16;
const OWNED_BY_KERNEL = 0;
const OWNED_BY_US = 1;
// struct tpacket3_hdr of 48 bytes, then struct sockaddr_ll.
const NEXT_AT = 0;
const SECONDS_AT = 4;
const NANOSECONDS_AT = 8;
const KEPT_AT = 12;
const LENGTH_AT = 16;
const STATUS_AT = 20;
const FRAME_AT = 24;
const TAG_AT = 32;
const TAG_TYPE_AT = 36;
const PACKET_TYPE_AT = 48 + 10;
// Bits of the status: the checksum is not complete; the fields of the VLAN tag, which is not in the frame, are valid.
const CHECKSUM_PENDING = 1 << 3;
const TAG_VALID = 1 << 4;
const TAG_TYPE_VALID = 1 << 6;
const ETHERTYPE_VLAN = 0x8100;

/** A frame in the ring. The object and its bytes are valid during the call that gets them. */
export interface RingFrame {
  /** The frame as far as the filter keeps it. */
  bytes: Uint8Array;
  /** Length of the whole frame. */
  length: number;
  /** Time since the epoch. */
  seconds: number;
  nanoseconds: number;
  /** Whether this host sends it through the interface. */
  outgoing: boolean;
  /** Whether TCP's or UDP's checksum field has the sum of the pseudo-header only: an offload would complete it. */
  checksumPending: boolean;
  /** The VLAN tag, type and value, that belongs after the two addresses; undefined: none. */
  tag: { readonly type: number; readonly value: number } | undefined;
}

/** @returns false to stop: the next read goes on after this frame */
export type ReadFrame = (frame: RingFrame) => boolean;

export interface PacketRingOptions {
  /** Its result is the number of bytes that are kept of a frame. */
  readonly filter: ClassicFilter;
  /** Whether a bridge hands over the frames that it forwards between its ports, too. */
  readonly promiscuous?: boolean;
}

/** The frames of one interface, in both directions. */
export class PacketRing {
  readonly #fd: number;
  readonly #memory = new Memory(64);
  #base = 0;
  #view: DataView;
  #bytes: Uint8Array;
  /** The same memory: only atomic reads see a block's frames after its status, on all processors. */
  #words: Int32Array;
  #block = 0;
  /** Frames of the block that are not read yet; 0: the block is the kernel's, as far as we know. */
  #left = 0;
  /** Offset of the next frame in the ring. */
  #next = 0;
  #dropped = 0;
  #received = 0;

  /** @param ifindex index of the interface @throws WEAVE_NATIVE */
  constructor(ifindex: number, { filter, promiscuous = false }: PacketRingOptions) {
    // Protocol 0 until filter and ring are there: nothing is received before.
    this.#fd = libc.socket(AF_PACKET, RAW_SOCKET, 0);
    this.#view = new DataView(new ArrayBuffer(0));
    this.#bytes = new Uint8Array(0);
    this.#words = new Int32Array(0);
    if (this.#fd < 0) {
      const code = errno();
      this.#memory.free();
      throw refused("cannot make a packet socket", code);
    }
    try {
      attachFilter(this.#fd, filter);
      this.#map();
      this.#bind(ifindex, promiscuous);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Frames that passed the filter, and those of them for which the ring had no room, since the start. */
  get counts(): { readonly received: number; readonly dropped: number } {
    if (this.#base !== 0) this.#readStatistics();
    return { received: this.#received, dropped: this.#dropped };
  }

  /** Hands over frames until there is none, or `each` returns false. `each` must not close the ring. */
  read(each: ReadFrame): void {
    if (this.#base === 0) return;
    for (;;) {
      if (this.#left === 0 && !this.#openBlock()) return;
      const at = this.#next;
      const next = this.#view.getUint32(at + NEXT_AT, true);
      const frame = this.#frameAt(at);
      this.#left--;
      this.#next = at + next;
      const more = each(frame);
      if (this.#left === 0) this.#returnBlock();
      if (!more) return;
    }
  }

  /** Repeated calls do nothing. */
  close(): void {
    if (this.#memory.size < 0) return;
    if (this.#base !== 0) {
      this.#readStatistics();
      libc.munmap(this.#base, RING_BYTES);
    }
    this.#base = 0;
    // A view of memory that is not mapped any more would end the process.
    this.#view = new DataView(new ArrayBuffer(0));
    this.#bytes = new Uint8Array(0);
    this.#words = new Int32Array(0);
    libc.close(this.#fd);
    this.#memory.free();
  }

  #map(): void {
    const { view } = this.#memory;
    view.setInt32(0, TPACKET_V3, true);
    this.#set(VERSION, 4);
    // struct tpacket_req3: block size, blocks, frame size, frames, timeout, bytes of private data, features.
    const request = [BLOCK_BYTES, BLOCKS, FRAME_BYTES, RING_BYTES / FRAME_BYTES, RETIRE_MS, 0, 0];
    for (const [index, value] of request.entries()) view.setUint32(4 * index, value, true);
    this.#set(RX_RING, 4 * request.length);
    const base = Number(libc.mmap(0, RING_BYTES, PROT_READ_WRITE, MAP_SHARED, this.#fd, 0));
    // MAP_FAILED is (void *) -1, the largest address.
    if (base <= 0 || base > Number.MAX_SAFE_INTEGER) throw refused("cannot map the ring of a packet socket", errno());
    this.#base = base;
    const buffer = viewOf(base, RING_BYTES);
    this.#view = new DataView(buffer);
    this.#bytes = new Uint8Array(buffer);
    this.#words = new Int32Array(buffer);
  }

  #bind(ifindex: number, promiscuous: boolean): void {
    const { view, u8 } = this.#memory;
    u8.fill(0, 0, SOCKADDR_BYTES);
    view.setUint16(0, AF_PACKET, true);
    view.setUint16(2, ETH_P_ALL, false);
    view.setInt32(4, ifindex, true);
    if (libc.bind(this.#fd, this.#memory.at(0, SOCKADDR_BYTES), SOCKADDR_BYTES) < 0)
      throw refused("cannot bind a packet socket to an interface", errno());
    if (!promiscuous) return;
    // struct packet_mreq: index, type, length of an address and the address. It ends with the socket.
    u8.fill(0, 0, 16);
    view.setInt32(0, ifindex, true);
    view.setUint16(4, PROMISCUOUS, true);
    this.#set(ADD_MEMBERSHIP, 16);
  }

  /** Sets an option from the beginning of the memory. */
  #set(option: number, bytes: number): void {
    if (libc.setsockopt(this.#fd, SOL_PACKET, option, this.#memory.at(0, bytes), bytes) < 0)
      throw refused("cannot set up a packet socket", errno());
  }

  /** Begins with the next block, if the kernel has handed it over. */
  #openBlock(): boolean {
    const at = this.#block * BLOCK_BYTES;
    if ((Atomics.load(this.#words, (at + BLOCK_STATUS_AT) >> 2) & OWNED_BY_US) === 0) return false;
    this.#left = this.#view.getUint32(at + BLOCK_COUNT_AT, true);
    this.#next = at + this.#view.getUint32(at + BLOCK_FIRST_AT, true);
    if (this.#left > 0) return true;
    this.#returnBlock();
    return this.#openBlock();
  }

  #returnBlock(): void {
    Atomics.store(this.#words, (this.#block * BLOCK_BYTES + BLOCK_STATUS_AT) >> 2, OWNED_BY_KERNEL);
    this.#block = (this.#block + 1) % BLOCKS;
  }

  #frameAt(at: number): RingFrame {
    const view = this.#view;
    const status = view.getUint32(at + STATUS_AT, true);
    const start = at + view.getUint16(at + FRAME_AT, true);
    const type = (status & TAG_TYPE_VALID) === 0 ? ETHERTYPE_VLAN : view.getUint16(at + TAG_TYPE_AT, true);
    return {
      bytes: this.#bytes.subarray(start, start + view.getUint32(at + KEPT_AT, true)),
      length: view.getUint32(at + LENGTH_AT, true),
      seconds: view.getUint32(at + SECONDS_AT, true),
      nanoseconds: view.getUint32(at + NANOSECONDS_AT, true),
      outgoing: view.getUint8(at + PACKET_TYPE_AT) === OUTGOING,
      checksumPending: (status & CHECKSUM_PENDING) !== 0,
      tag: (status & TAG_VALID) === 0 ? undefined : { type, value: view.getUint32(at + TAG_AT, true) & 0xffff },
    };
  }

  /** The kernel counts from the last call on. */
  #readStatistics(): void {
    const { view } = this.#memory;
    // struct tpacket_stats_v3: frames, with the dropped ones; dropped ones; times that the ring was full. Its size is in front here.
    view.setUint32(0, 12, true);
    const [size, value] = [this.#memory.at(0, 4), this.#memory.at(4, 12)];
    if (libc.getsockopt(this.#fd, SOL_PACKET, STATISTICS, value, size) < 0) return;
    this.#received += view.getUint32(4, true);
    this.#dropped += view.getUint32(8, true);
  }
}

const refused = (what: string, code: number) => new WeaveError("WEAVE_NATIVE", `${what}: ${errnoName(code)}`);
