import type { IoVector } from "#src/linux/native/io-vector.js";
import type { Memory } from "#src/linux/native/memory.js";

/**
 * Where a frame thread reads the frames of this host from and writes those of other hosts to. Each frame has a virtio header
 * (struct virtio_net_hdr) before it.
 */
export interface FrameDevice {
  /** It takes runs of UDP datagrams as one super-frame (GSO_UDP_L4) and segments them in the kernel. */
  readonly takesUdpSuperFrames: boolean;
  /** Reads one frame to `offset`. Returns its length with the header, or minus errno. */
  read(memory: Memory, offset: number, room: number): number;
  /** Writes the frame of `length` bytes, header included, at `offset`. False: the kernel did not take it. */
  write(memory: Memory, offset: number, length: number): boolean;
  /** As {@link write}, of a frame in several spans; the first has all headers. @param gsoType as in the virtio header */
  writeParts(parts: IoVector, gsoType: number): boolean;
}
