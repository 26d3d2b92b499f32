import type { IoVector } from "#src/linux/native/io-vector.js";
import type { Memory } from "#src/linux/native/memory.js";

/**
 * The device from which a frame thread reads frames of this host, and to which it writes frames of other hosts. A virtio
 * header (struct virtio_net_hdr) precedes each frame.
 */
export interface FrameDevice {
  /** True: the device accepts a run of UDP datagrams as one super-frame (GSO_UDP_L4), which the kernel segments. */
  readonly takesUdpSuperFrames: boolean;
  /** Reads one frame of at most `room` bytes to `offset`. Returns its length, header included, or minus errno. */
  read(memory: Memory, offset: number, room: number): number;
  /** Writes the frame of `length` bytes, header included, at `offset`. False: the kernel rejected the frame. */
  write(memory: Memory, offset: number, length: number): boolean;
  /** Like {@link write}, for a frame in several spans: the first has all headers. @param gsoType as in the virtio header */
  writeParts(parts: IoVector, gsoType: number): boolean;
}
