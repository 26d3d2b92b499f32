import assert from "node:assert/strict";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { BufferRing } from "#router/datapath/buffer-ring.js";
import { DatagramJoiner } from "#router/datapath/datagram-joiner.js";
import { FramePort } from "#router/datapath/frame-port.js";
import { SegmentJoiner } from "#router/datapath/segment-joiner.js";
import {
  DESCRIPTOR_BYTES,
  type Descriptor,
  FLAG_FIRST,
  FLAG_LAST,
  GSO_TCPV4,
  GSO_TCPV6,
  GSO_UDP_L4,
  type Layout,
  layoutOf,
  readDescriptor,
  type SegmentRun,
  writeDescriptor,
  writeVnetHeader,
} from "#router/datapath/super-frame.js";
import { Memory } from "#src/linux/native/memory.js";

const be16 = (bytes: Uint8Array, at: number) => (bytes[at] << 8) | bytes[at + 1];
const put16 = (bytes: Uint8Array, at: number, value: number) => {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
};
const be32 = (bytes: Uint8Array, at: number) => be16(bytes, at) * 65_536 + be16(bytes, at + 2);

/** The Internet checksum (RFC 1071) over 16-bit words, not inverted. */
function sum(bytes: Uint8Array, initial = 0): number {
  let total = initial;
  for (let i = 0; i < bytes.length; i += 2) total += (bytes[i] << 8) | (bytes[i + 1] ?? 0);
  while (total > 0xffff) total = (total & 0xffff) + Math.floor(total / 65_536);
  return total;
}

interface Shape {
  udp: boolean;
  v6: boolean;
  vlan: boolean;
  options: number;
  payload: number;
  gsoSize: number;
  flags: number;
  sequence: number;
  id: number;
}

/** Sum of the pseudo-header: addresses, protocol and length (RFC 9293, RFC 768, RFC 8200 section 8.1). */
function pseudo(frame: Uint8Array, layout: Layout, length: number): number {
  const addresses = layout.v6
    ? frame.subarray(layout.ip + 8, layout.ip + 40)
    : frame.subarray(layout.ip + 12, layout.ip + 20);
  return sum(addresses, (layout.udp ? 17 : 6) + length);
}

/** A super-frame as a sender's kernel would hand it over: the checksum field holds the pseudo-header's sum. */
function superFrame(shape: Shape): { frame: Uint8Array; layout: Layout } {
  const ip = shape.vlan ? 18 : 14;
  const l4 = ip + (shape.v6 ? 40 : 20);
  const headers = l4 + (shape.udp ? 8 : 20 + shape.options * 4);
  const frame = new Uint8Array(headers + shape.payload);
  for (let i = 0; i < 12; i++) frame[i] = i * 2;
  if (shape.vlan) put16(frame, 12, 0x8100);
  put16(frame, ip - 2, shape.v6 ? 0x86dd : 0x0800);
  if (shape.v6) {
    frame[ip] = 0x60;
    put16(frame, ip + 4, frame.length - ip - 40);
    frame[ip + 6] = shape.udp ? 17 : 6;
    for (let i = 8; i < 40; i++) frame[ip + i] = i * 7;
  } else {
    frame[ip] = 0x45;
    put16(frame, ip + 2, frame.length - ip);
    put16(frame, ip + 4, shape.id);
    put16(frame, ip + 6, 0x4000);
    frame[ip + 8] = 64;
    frame[ip + 9] = shape.udp ? 17 : 6;
    for (let i = 12; i < 20; i++) frame[ip + i] = i * 11;
    put16(frame, ip + 10, sum(frame.subarray(ip, ip + 20)) ^ 0xffff);
  }
  if (shape.udp) put16(frame, l4 + 4, frame.length - l4);
  else {
    put16(frame, l4 + 4, shape.sequence >>> 16);
    put16(frame, l4 + 6, shape.sequence & 0xffff);
    frame[l4 + 12] = (5 + shape.options) << 4;
    frame[l4 + 13] = shape.flags;
  }
  for (let i = headers; i < frame.length; i++) frame[i] = (i * 31) ^ (i >>> 8);
  const layout: Layout = { ip, v6: shape.v6, l4, udp: shape.udp, headers };
  put16(frame, l4 + sumAt(layout), pseudo(frame, layout, frame.length - l4));
  return { frame, layout };
}

const sumAt = (layout: Layout) => (layout.udp ? 6 : 16);
const gsoTypeOf = (shape: Shape) => (shape.udp ? GSO_UDP_L4 : shape.v6 ? GSO_TCPV6 : GSO_TCPV4);

/** The packets that a network card would send: one for each segment, with complete fields and checksums. */
function segments(frame: Uint8Array, layout: Layout, gsoSize: number): Uint8Array[] {
  const { ip, l4, headers, v6, udp } = layout;
  const payload = frame.length - headers;
  const result: Uint8Array[] = [];
  for (let at = 0; at < payload || (at === 0 && payload === 0); at += gsoSize) {
    const length = Math.min(gsoSize, payload - at);
    const segment = new Uint8Array(headers + length);
    segment.set(frame.subarray(0, headers));
    segment.set(frame.subarray(headers + at, headers + at + length), headers);
    if (udp) put16(segment, l4 + 4, 8 + length);
    else {
      const sequence = (be32(frame, l4 + 4) + at) >>> 0;
      put16(segment, l4 + 4, sequence >>> 16);
      put16(segment, l4 + 6, sequence & 0xffff);
      if (at + length < payload) segment[l4 + 13] &= ~0x09;
      if (at > 0) segment[l4 + 13] &= ~0x80;
    }
    if (v6) put16(segment, ip + 4, segment.length - ip - 40);
    else {
      put16(segment, ip + 2, segment.length - ip);
      put16(segment, ip + 4, be16(frame, ip + 4) + at / gsoSize);
      put16(segment, ip + 10, 0);
      put16(segment, ip + 10, sum(segment.subarray(ip, l4)) ^ 0xffff);
    }
    const field = l4 + sumAt(layout);
    put16(segment, field, 0);
    // Zero stands for "no checksum" in UDP, and its other form means the same sum.
    put16(segment, field, sum(segment.subarray(l4), pseudo(segment, layout, segment.length - l4)) ^ 0xffff || 0xffff);
    result.push(segment);
  }
  return result;
}

const shapes: fc.Arbitrary<Shape> = fc.record({
  udp: fc.boolean(),
  v6: fc.boolean(),
  vlan: fc.boolean(),
  options: fc.constantFrom(0, 3, 10),
  payload: fc.integer({ min: 200, max: 20_000 }),
  gsoSize: fc.constantFrom(100, 536, 1_324, 1_448),
  flags: fc.integer({ min: 0, max: 255 }),
  sequence: fc.integer({ min: 0, max: 0xffffffff }),
  id: fc.integer({ min: 0, max: 0xffff }),
});

/** All segments of a super-frame. */
const whole = (gsoType: number, gsoSize: number, length: number): SegmentRun => ({
  gsoType,
  gsoSize,
  offset: 0,
  length,
  last: true,
});

test("for any lost records, exactly the segments of the other records are delivered, with correct checksums", () => {
  // Segment runs stay where they arrived until they are delivered: each has a place of its own.
  const record = new Memory(1 << 20);
  const joined = new Memory(80_000);
  fc.assert(
    fc.property(
      shapes,
      fc.integer({ min: 1, max: 5 }),
      fc.array(fc.boolean(), { minLength: 60, maxLength: 60 }),
      (shape, perRecord, lost) => {
        const { frame, layout } = superFrame(shape);
        const all = segments(frame, layout, shape.gsoSize);
        const delivered: Uint8Array[] = [];
        const joiner = new SegmentJoiner(new BufferRing(), (parts) => {
          const length = parts.gather(joined, 0);
          const frame = Uint8Array.from(joined.u8.subarray(10, length));
          const { view } = joined;
          assert.deepEqual(layoutOf(frame, gsoTypeOf(shape), view.getUint16(6, true)), layout);
          const gso = view.getUint8(1) === 0 ? frame.length : view.getUint16(4, true);
          delivered.push(...segments(frame, layout, gso));
        });
        const expected: Uint8Array[] = [];
        const step = perRecord * shape.gsoSize;
        const payload = frame.length - layout.headers;
        for (let at = 0, n = 0, place = 64; at < payload; at += step, n++) {
          if (lost[n % 60]) continue;
          const length = Math.min(step, payload - at);
          const descriptor: Descriptor = {
            flags: (at === 0 ? FLAG_FIRST : 0) | (at + length === payload ? FLAG_LAST : 0),
            gsoType: gsoTypeOf(shape),
            headers: layout.headers,
            gsoSize: shape.gsoSize,
            csumStart: layout.l4,
            id: 7,
            offset: at,
          };
          writeDescriptor(record.view, place, descriptor);
          record.u8.set(frame.subarray(0, layout.headers), place + DESCRIPTOR_BYTES);
          record.u8.set(
            frame.subarray(layout.headers + at, layout.headers + at + length),
            place + DESCRIPTOR_BYTES + layout.headers,
          );
          assert.ok(joiner.add(1, record, place, DESCRIPTOR_BYTES + layout.headers + length));
          place += DESCRIPTOR_BYTES + layout.headers + length;
          const first = at / shape.gsoSize;
          expected.push(...all.slice(first, first + Math.ceil(length / shape.gsoSize)));
        }
        joiner.close();
        assert.deepEqual(delivered, expected);
      },
    ),
    { numRuns: 400 },
  );
});

test("the kernel segments joined datagrams into exactly the datagrams that were sent", () => {
  const place = new Memory(1 << 20);
  const joined = new Memory(80_000);
  const sizes = fc.constantFrom(1, 64, 64, 64, 1_350, 1_350);
  const flows = fc.record({ flow: fc.nat(2), v6: fc.boolean(), tcp: fc.nat(9), size: sizes, proven: fc.nat(9) });
  let most = 0;
  fc.assert(
    fc.property(fc.array(flows, { minLength: 100, maxLength: 200 }), fc.nat(100), (frames, stay) => {
      const delivered: Uint8Array[] = [];
      const expected: Uint8Array[] = [];
      let counted = 0;
      const take = (bytes: Uint8Array, type: number, size: number) => {
        const layout = layoutOf(bytes, GSO_UDP_L4, bytes[12] === 0x86 ? 54 : 34)!;
        delivered.push(...segments(bytes, layout, type === 0 ? bytes.length - layout.headers : size));
      };
      const joiner = new DatagramJoiner(new BufferRing(), (parts, gsoType, count) => {
        const length = parts.gather(joined, 0);
        assert.equal(joined.u8[1], gsoType);
        most = Math.max(most, count);
        counted += count;
        take(Uint8Array.from(joined.u8.subarray(10, length)), gsoType, joined.view.getUint16(4, true));
      });
      let at = 0;
      for (const [id, { flow, v6, tcp, size, proven }] of frames.entries()) {
        // Long runs of one flow, as in a flood; now and then something else.
        const same = id % 100 < stay;
        const shape = { v6: same ? false : v6, vlan: false, options: 0, payload: same ? 64 : size, gsoSize: 9_000 };
        const rest = { udp: same || tcp > 0, flags: 0x10, sequence: 7, id };
        const { frame, layout } = superFrame({ ...shape, ...rest });
        frame[layout.l4] = same ? 0 : flow;
        put16(frame, layout.l4 + sumAt(layout), pseudo(frame, layout, frame.length - layout.l4));
        place.u8.set(frame, at + 10);
        writeVnetHeader(
          place.view,
          at,
          layout,
          whole(GSO_UDP_L4, 9_000, layout.udp ? frame.length - layout.headers : 1),
        );
        // A checksum that is finished is the sender's proof, and is left alone.
        const finished = !same && proven === 0;
        if (finished) place.u8[at] = 0;
        const taken = joiner.add(place, at, 10 + frame.length);
        assert.equal(taken, layout.udp && !finished);
        if (taken) expected.push(...segments(frame, layout, 9_000));
        at += 12 + frame.length + (frame.length % 2);
      }
      joiner.close();
      assert.deepEqual(delivered, expected);
      assert.equal(counted, expected.length);
    }),
    { numRuns: 300 },
  );
  assert.ok(most === 64, `at most ${most} were joined`);
});

test("emulated offloads write the segments and checksums that a network card would send", () => {
  const folder = mkdtempSync(join(tmpdir(), "weave-port-"));
  const file = join(folder, "tap");
  const fd = openSync(file, "a");
  const memory = new Memory(80_000);
  try {
    for (const vnetHeader of [false, true]) {
      const port = new FramePort(fd, { vnetHeader, tso: false, uso: false });
      fc.assert(
        fc.property(shapes, (shape) => {
          // With virtio headers the kernel segments TCP itself; UDP it may not know.
          shape.udp ||= vnetHeader;
          const { frame, layout } = superFrame(shape);
          memory.u8.set(frame, 10);
          writeVnetHeader(memory.view, 0, layout, whole(gsoTypeOf(shape), shape.gsoSize, shape.payload));
          assert.ok(port.write(memory, 0, 10 + frame.length));
          const expected = segments(frame, layout, shape.payload > shape.gsoSize ? shape.gsoSize : shape.payload);
          const header = vnetHeader ? [new Uint8Array(10)] : [];
          const written = Uint8Array.from(readFileSync(file));
          if (vnetHeader && shape.payload <= shape.gsoSize) assert.equal(written.length, 10 + frame.length);
          else assert.deepEqual(written, Uint8Array.from(Buffer.concat(expected.flatMap((part) => [...header, part]))));
          truncateSync(file);
        }),
        { numRuns: 200 },
      );
    }
  } finally {
    closeSync(fd);
    rmSync(folder, { recursive: true });
  }
});

test("interleaved segment runs of two sources are not joined", () => {
  const record = new Memory(8_192);
  const { frame, layout } = superFrame({
    udp: false,
    v6: false,
    vlan: false,
    options: 0,
    payload: 400,
    gsoSize: 100,
    flags: 0x10,
    sequence: 1,
    id: 1,
  });
  const lengths: number[] = [];
  const joiner = new SegmentJoiner(new BufferRing(), (parts) => void lengths.push(parts.bytes - 10 - layout.headers));
  for (const [source, offset, place] of [
    [1, 0, 0],
    [2, 0, 1_000],
    [1, 200, 2_000],
    [2, 200, 3_000],
  ]) {
    writeDescriptor(record.view, place, {
      flags: offset === 0 ? FLAG_FIRST : FLAG_LAST,
      gsoType: GSO_TCPV4,
      headers: layout.headers,
      gsoSize: 100,
      csumStart: layout.l4,
      id: 1,
      offset,
    });
    record.u8.set(frame.subarray(0, layout.headers + 200), place + DESCRIPTOR_BYTES);
    joiner.add(source, record, place, DESCRIPTOR_BYTES + layout.headers + 200);
  }
  joiner.close();
  assert.deepEqual(lengths, [200, 200, 200, 200]);
});

test("invalid descriptors are rejected, and never cause an access outside the record", () => {
  const record = new Memory(8_192);
  const joiner = new SegmentJoiner(new BufferRing(), () => {});
  const into: Descriptor = { flags: 0, gsoType: 0, headers: 0, gsoSize: 0, csumStart: 0, id: 0, offset: 0 };
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 0, maxLength: 2_000 }),
      fc.integer({ min: 0, max: 2_000 }),
      (bytes, length) => {
        record.u8.fill(0);
        record.u8.set(bytes);
        // Half of them get past the first check.
        if (bytes.length % 2 === 0) record.u8.set([FLAG_FIRST, GSO_TCPV4, 54, 0, 100, 0, 34, 0], 0);
        joiner.add(1, record, 0, length);
        if (readDescriptor(record.view, 0, length, into)) assert.ok(into.headers + DESCRIPTOR_BYTES < length);
      },
    ),
    { numRuns: 3_000 },
  );
  joiner.close();
});
