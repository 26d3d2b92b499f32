import { Emitter } from "#src/emitter.js";
import { FrameSocket } from "#src/linux/native/frame-socket.js";
import { type ClassicFilter, IF_EQUAL, KEEP, LOAD_WORD } from "#src/linux/native/packet-filter.js";
import { type MacText, macNumber, macText } from "#src/mac.js";

/** The first ethertype for experiments of one organisation (IEEE 802). */
export const HEARTBEAT_ETHERTYPE = 0x88b5;
/** Destination, source, ethertype. */
const HEADER_BYTES = 14;
const COOKIE_AT = HEADER_BYTES;
/** After the cookie, the length of the payload: what follows the payload is filling. */
const LENGTH_AT = COOKIE_AT + 4;
const PAYLOAD_AT = LENGTH_AT + 2;

/** Frames that wait; the kernel counts some 2.5 KB for one of 1,500 bytes: 200 of full size. */
const BUFFER_BYTES = 512 << 10;
/** Frames that are handled at once, and the pause after so many: a flood takes no more of the event loop. */
const READS_AT_ONCE = 128;
const PAUSE_MS = 10;

// linux/filter.h: SKF_AD_OFF + SKF_AD_PKTTYPE; linux/if_packet.h: PACKET_HOST.
const PACKET_TYPE = 0xffff_f000 + 4;
const PACKET_HOST = 0;
/**
 * Passes frames to the bridge's own MAC with this host's cookie. A container can send frames to this MAC, too: those without the cookie are
 * dropped in the kernel, so that they do not take the place of real ones in the buffer.
 */
const onlyWith = (cookie: number): ClassicFilter => [
  [LOAD_WORD, 0, 0, PACKET_TYPE],
  [IF_EQUAL, 0, 3, PACKET_HOST],
  [LOAD_WORD, 0, 0, COOKIE_AT],
  [IF_EQUAL, 0, 1, cookie],
  [KEEP, 0, 0, 0xffff_ffff],
  [KEEP, 0, 0, 0],
];

export interface HeartbeatEvents {
  /** A frame that claims to be from `source`: the payload must prove it. */
  frame: [source: MacText, payload: Uint8Array];
}

/**
 * Frames by which two routers prove the path of the kernel to each other. They are sent through the VXLAN device, as the bridge would send
 * frames to it, and are received at the bridge by their ethertype. A socket for all frames at the device would copy the header of each
 * frame of the containers; a socket of one ethertype is not looked at for others.
 */
export class HeartbeatSocket {
  readonly events = new Emitter<HeartbeatEvents>();
  readonly #out: FrameSocket;
  readonly #in: FrameSocket;
  #pause: NodeJS.Timeout | undefined;
  #closed = false;

  /**
   * @param ports indexes of the bridge and of the VXLAN device
   * @param cookie a random number of 32 bits, which the peers get over their connections: frames without it are dropped by the kernel
   * @throws WEAVE_NATIVE
   */
  constructor({ bridge, vxlan }: { readonly bridge: number; readonly vxlan: number }, cookie = 0) {
    this.#out = new FrameSocket(vxlan, 0);
    try {
      const options = { buffer: BUFFER_BYTES, filter: onlyWith(cookie >>> 0) };
      this.#in = new FrameSocket(bridge, HEARTBEAT_ETHERTYPE, options);
    } catch (error) {
      this.#out.close();
      throw error;
    }
    this.#in.onInput(() => this.#read());
  }

  /**
   * Sends a frame. The VXLAN device needs an entry for the MAC (forwarding-table.ts).
   *
   * @param to MAC of the other host's bridge
   * @param from MAC of this host's bridge
   * @param bytes size of the frame without its header, as of an IP packet: zeros fill it
   * @param cookie of the other host
   * @returns 0, or errno: EMSGSIZE when the device's MTU is less, ENETDOWN, ENXIO when the device is gone
   */
  send(to: MacText, from: MacText, payload: Uint8Array, bytes: number, cookie = 0): number {
    const frame = Buffer.alloc(Math.max(HEADER_BYTES + bytes, PAYLOAD_AT + payload.length));
    frame.writeUIntBE(macNumber(to), 0, 6);
    frame.writeUIntBE(macNumber(from), 6, 6);
    frame.writeUInt16BE(HEARTBEAT_ETHERTYPE, 12);
    frame.writeUInt32BE(cookie >>> 0, COOKIE_AT);
    frame.writeUInt16BE(payload.length, LENGTH_AT);
    frame.set(payload, PAYLOAD_AT);
    return this.#out.send(frame);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#pause);
    this.#out.close();
    this.#in.close();
  }

  #read(): void {
    if (this.#pause !== undefined) return;
    for (let reads = 0; reads < READS_AT_ONCE; reads++) {
      if (this.#closed) return;
      const frame = this.#in.receive();
      if (frame === undefined) return;
      const read = readHeartbeat(frame);
      if (read !== undefined) this.events.emit("frame", read.source, read.payload);
    }
    this.#pause = setTimeout(() => {
      this.#pause = undefined;
      this.#read();
    }, PAUSE_MS);
  }
}

/** Reads a frame of {@link HeartbeatSocket.send}; undefined for one that is cut, or another one. */
export function readHeartbeat(frame: Uint8Array): { source: MacText; payload: Uint8Array } | undefined {
  if (frame.length < PAYLOAD_AT) return undefined;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const end = PAYLOAD_AT + view.getUint16(LENGTH_AT);
  if (view.getUint16(12) !== HEARTBEAT_ETHERTYPE || end > frame.length) return undefined;
  return { source: macText(frame, 6), payload: frame.subarray(PAYLOAD_AT, end) };
}
