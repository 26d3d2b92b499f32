import assert from "node:assert/strict";
import { test } from "node:test";
import { overlayFrame } from "#router/capture/capture-plan.js";
import { completeFrame } from "#router/capture/complete-frame.js";
import type { RingFrame } from "#src/linux/native/packet-ring.js";
import { frameHeaders } from "#src/net/frame-headers.js";

const ETHERNET = "020000000002020000000001";
/** A TCP segment without data: 10.32.0.1:1 to 10.32.0.2:2, with the sum of the pseudo-header in place of its checksum. */
const IPV4 = "45000028000040004006 0000 0a200001 0a200002".replaceAll(" ", "");
const PSEUDO = 0x0a20 + 0x0001 + 0x0a20 + 0x0002 + 6 + 20;
const TCP = `000100020000000000000000500020 00${PSEUDO.toString(16).padStart(4, "0")}0000`.replaceAll(" ", "");
const FRAME = Buffer.from(`${ETHERNET}0800${IPV4}${TCP}`, "hex");

const ringFrame = (bytes: Uint8Array, fields: Partial<RingFrame> = {}): RingFrame => ({
  bytes: Uint8Array.from(bytes),
  length: bytes.length,
  seconds: 0,
  nanoseconds: 0,
  outgoing: true,
  checksumPending: true,
  tag: undefined,
  ...fields,
});

/** The sum of a segment with its pseudo-header, in one's complement: 0xffff when the checksum is right (RFC 1071). */
function sumOf(frame: Uint8Array): number {
  const words: number[] = [6, frame.length - 34];
  for (let at = 26; at < frame.length; at += 2) words.push((frame[at] << 8) | (frame[at + 1] ?? 0));
  let sum = words.reduce((a, b) => a + b, 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

test("a checksum that an offload would complete is completed", () => {
  assert.notEqual(sumOf(FRAME), 0xffff);
  const { bytes, length } = completeFrame(ringFrame(FRAME));
  assert.equal(sumOf(bytes), 0xffff);
  assert.equal(length, FRAME.length);
});

test("a frame that is whole, cut, or of no known kind stays as it is", () => {
  const whole = ringFrame(FRAME, { checksumPending: false });
  assert.deepEqual(Buffer.from(completeFrame(whole).bytes), FRAME);
  const cut = ringFrame(FRAME.subarray(0, 50), { length: FRAME.length });
  assert.deepEqual(Buffer.from(completeFrame(cut).bytes), FRAME.subarray(0, 50));
  for (let length = 0; length < 60; length++) {
    const noise = Buffer.alloc(length, 0x08);
    assert.equal(completeFrame(ringFrame(noise)).bytes.length, length);
  }
});

test("the VLAN tag, which the kernel keeps elsewhere, is put back after the checksum was completed", () => {
  const { bytes, length } = completeFrame(ringFrame(FRAME, { tag: { type: 0x8100, value: 0x2007 } }));
  assert.equal(length, FRAME.length + 4);
  assert.equal(Buffer.from(bytes).subarray(0, 18).toString("hex"), `${ETHERNET}810020070800`);
  assert.equal(frameHeaders(bytes)?.vlan, 7);
  assert.equal(sumOf(Buffer.concat([bytes.subarray(0, 12), bytes.subarray(16)])), 0xffff);
});

test("a frame belongs to the host that its other end is at; groups and unknown MACs to all", () => {
  const placeOf = (mac: string) => (mac === "02:00:00:00:00:02" ? "h2" : undefined);
  assert.deepEqual(overlayFrame(ringFrame(FRAME), placeOf), { peer: "h2", flooded: false });
  assert.deepEqual(overlayFrame(ringFrame(FRAME, { outgoing: false }), placeOf), { peer: undefined, flooded: false });
  const reply = Buffer.concat([FRAME.subarray(6, 12), FRAME.subarray(0, 6), FRAME.subarray(12)]);
  assert.deepEqual(overlayFrame(ringFrame(reply, { outgoing: false }), placeOf), { peer: "h2", flooded: false });
  assert.deepEqual(overlayFrame(ringFrame(reply), placeOf), { peer: undefined, flooded: true });
  const broadcast = Buffer.concat([Buffer.alloc(6, 0xff), FRAME.subarray(6)]);
  assert.deepEqual(
    overlayFrame(ringFrame(broadcast), () => "h2"),
    { peer: undefined, flooded: true },
  );
  assert.deepEqual(
    overlayFrame(ringFrame(Buffer.alloc(5)), () => "h2"),
    { peer: undefined, flooded: false },
  );
});
