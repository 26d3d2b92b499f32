import { completeChecksum } from "#router/datapath/super-frame.js";
import type { RingFrame } from "#src/linux/native/packet-ring.js";
import { checksumOffset, frameHeaders } from "#src/net/frame-headers.js";

/** Destination and source. */
const ADDRESSES = 12;
const TAG_BYTES = 4;

/**
 * Makes a frame as it is on a wire, from one that the kernel has not finished: an offload would complete its checksum, and the kernel keeps
 * its VLAN tag elsewhere. A super-frame stays whole, with the checksum of the whole. The checksum of a frame that is cut stays as it is:
 * it cannot be computed, nor checked by a reader.
 *
 * @returns the bytes, for the time of the call that has the frame, and the length of the whole
 */
export function completeFrame(frame: RingFrame): { readonly bytes: Uint8Array; readonly length: number } {
  const { bytes, length, tag } = frame;
  if (frame.checksumPending && bytes.length === length) complete(bytes);
  if (tag === undefined || bytes.length < ADDRESSES) return { bytes, length };
  const tagged = Buffer.alloc(bytes.length + TAG_BYTES);
  tagged.set(bytes.subarray(0, ADDRESSES));
  tagged.writeUInt16BE(tag.type, ADDRESSES);
  tagged.writeUInt16BE(tag.value, ADDRESSES + 2);
  tagged.set(bytes.subarray(ADDRESSES), ADDRESSES + TAG_BYTES);
  return { bytes: tagged, length: length + TAG_BYTES };
}

/** Completes the checksum of TCP or UDP in place: its field has the sum of the pseudo-header. */
function complete(bytes: Uint8Array): void {
  const headers = frameHeaders(bytes);
  const field = checksumOffset(headers?.protocol);
  if (headers?.transport === undefined || field === undefined) return;
  if (headers.transport + field + 2 <= bytes.length) completeChecksum(bytes, headers.transport, field);
}
