import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Joiner } from "#router/datapath/joiner.js";
import {
  DESCRIPTOR_BYTES,
  type Descriptor,
  FLAG_FIRST,
  FLAG_LAST,
  GSO_TCPV4,
  GSO_TCPV6,
  type Layout,
  layoutOf,
  readDescriptor,
  writeDescriptor,
} from "#router/datapath/super-frame.js";
import { Memory } from "#src/host/native/memory.js";

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
  v6: boolean;
  vlan: boolean;
  options: number;
  payload: number;
  gsoSize: number;
  flags: number;
  sequence: number;
  id: number;
}

/** Sum of the pseudo-header: addresses, protocol and TCP length (RFC 9293, RFC 8200 section 8.1). */
function pseudo(frame: Uint8Array, layout: Layout, tcpLength: number): number {
  const addresses = layout.v6
    ? frame.subarray(layout.ip + 8, layout.ip + 40)
    : frame.subarray(layout.ip + 12, layout.ip + 20);
  return sum(addresses, 6 + tcpLength);
}

/** A super-frame as a sender's kernel would hand it over: the TCP checksum field holds the pseudo-header's sum. */
function superFrame(shape: Shape): { frame: Uint8Array; layout: Layout } {
  const ip = shape.vlan ? 18 : 14;
  const tcp = ip + (shape.v6 ? 40 : 20);
  const headers = tcp + 20 + shape.options * 4;
  const frame = new Uint8Array(headers + shape.payload);
  for (let i = 0; i < 12; i++) frame[i] = i * 2;
  if (shape.vlan) put16(frame, 12, 0x8100);
  put16(frame, ip - 2, shape.v6 ? 0x86dd : 0x0800);
  if (shape.v6) {
    frame[ip] = 0x60;
    put16(frame, ip + 4, frame.length - ip - 40);
    frame[ip + 6] = 6;
    for (let i = 8; i < 40; i++) frame[ip + i] = i * 7;
  } else {
    frame[ip] = 0x45;
    put16(frame, ip + 2, frame.length - ip);
    put16(frame, ip + 4, shape.id);
    frame[ip + 8] = 64;
    frame[ip + 9] = 6;
    for (let i = 12; i < 20; i++) frame[ip + i] = i * 11;
    put16(frame, ip + 10, sum(frame.subarray(ip, ip + 20)) ^ 0xffff);
  }
  put16(frame, tcp + 4, shape.sequence >>> 16);
  put16(frame, tcp + 6, shape.sequence & 0xffff);
  frame[tcp + 12] = (5 + shape.options) << 4;
  frame[tcp + 13] = shape.flags;
  for (let i = headers; i < frame.length; i++) frame[i] = (i * 31) ^ (i >>> 8);
  const layout: Layout = { ip, v6: shape.v6, tcp, headers };
  put16(frame, tcp + 16, pseudo(frame, layout, frame.length - tcp));
  return { frame, layout };
}

/** What the network card would send: one packet a segment, all fields and checksums complete. */
function segments(frame: Uint8Array, layout: Layout, gsoSize: number): Uint8Array[] {
  const { ip, tcp, headers, v6 } = layout;
  const payload = frame.length - headers;
  const result: Uint8Array[] = [];
  for (let at = 0; at < payload || (at === 0 && payload === 0); at += gsoSize) {
    const length = Math.min(gsoSize, payload - at);
    const segment = new Uint8Array(headers + length);
    segment.set(frame.subarray(0, headers));
    segment.set(frame.subarray(headers + at, headers + at + length), headers);
    const sequence = (be32(frame, tcp + 4) + at) >>> 0;
    put16(segment, tcp + 4, sequence >>> 16);
    put16(segment, tcp + 6, sequence & 0xffff);
    if (at + length < payload) segment[tcp + 13] &= ~0x09;
    if (at > 0) segment[tcp + 13] &= ~0x80;
    if (v6) put16(segment, ip + 4, segment.length - ip - 40);
    else {
      put16(segment, ip + 2, segment.length - ip);
      put16(segment, ip + 4, be16(frame, ip + 4) + at / gsoSize);
      put16(segment, ip + 10, 0);
      put16(segment, ip + 10, sum(segment.subarray(ip, tcp)) ^ 0xffff);
    }
    put16(segment, tcp + 16, 0);
    put16(segment, tcp + 16, sum(segment.subarray(tcp), pseudo(segment, layout, segment.length - tcp)) ^ 0xffff);
    result.push(segment);
  }
  return result;
}

const shapes: fc.Arbitrary<Shape> = fc.record({
  v6: fc.boolean(),
  vlan: fc.boolean(),
  options: fc.constantFrom(0, 3, 10),
  payload: fc.integer({ min: 200, max: 20_000 }),
  gsoSize: fc.constantFrom(100, 536, 1_324, 1_448),
  flags: fc.integer({ min: 0, max: 255 }),
  sequence: fc.integer({ min: 0, max: 0xffffffff }),
  id: fc.integer({ min: 0, max: 0xffff }),
});

test("whatever records are lost, what is delivered is exactly the segments of the others, checksums and all", () => {
  const record = new Memory(80_000);
  fc.assert(
    fc.property(
      shapes,
      fc.integer({ min: 1, max: 5 }),
      fc.array(fc.boolean(), { minLength: 60, maxLength: 60 }),
      (shape, perRecord, lost) => {
        const { frame, layout } = superFrame(shape);
        const all = segments(frame, layout, shape.gsoSize);
        const delivered: Uint8Array[] = [];
        const joiner = new Joiner((memory, offset, length) => {
          const vnet = new DataView(memory.u8.buffer, memory.u8.byteOffset + offset, 10);
          const joined = Uint8Array.from(memory.u8.subarray(offset + 10, offset + length));
          const found = layoutOf(joined, vnet.getUint16(6, true));
          assert.deepEqual(found, layout);
          const gso = vnet.getUint8(1) === 0 ? joined.length : vnet.getUint16(4, true);
          delivered.push(...segments(joined, layout, gso));
        });
        const expected: Uint8Array[] = [];
        const step = perRecord * shape.gsoSize;
        const payload = frame.length - layout.headers;
        for (let at = 0, n = 0; at < payload; at += step, n++) {
          if (lost[n % 60]) continue;
          const length = Math.min(step, payload - at);
          const descriptor: Descriptor = {
            flags: (at === 0 ? FLAG_FIRST : 0) | (at + length === payload ? FLAG_LAST : 0),
            gsoType: shape.v6 ? GSO_TCPV6 : GSO_TCPV4,
            headers: layout.headers,
            gsoSize: shape.gsoSize,
            csumStart: layout.tcp,
            id: 7,
            offset: at,
          };
          writeDescriptor(record.view, 64, descriptor);
          record.u8.set(frame.subarray(0, layout.headers), 64 + DESCRIPTOR_BYTES);
          record.u8.set(
            frame.subarray(layout.headers + at, layout.headers + at + length),
            64 + DESCRIPTOR_BYTES + layout.headers,
          );
          assert.ok(joiner.add(1, record, 64, DESCRIPTOR_BYTES + layout.headers + length));
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

test("pieces of two sources that come mixed are not joined", () => {
  const record = new Memory(8_192);
  const { frame, layout } = superFrame({
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
  const joiner = new Joiner((_memory, _offset, length) => void lengths.push(length - 10 - layout.headers));
  for (const [source, offset] of [
    [1, 0],
    [2, 0],
    [1, 200],
    [2, 200],
  ]) {
    writeDescriptor(record.view, 0, {
      flags: offset === 0 ? FLAG_FIRST : FLAG_LAST,
      gsoType: GSO_TCPV4,
      headers: layout.headers,
      gsoSize: 100,
      csumStart: layout.tcp,
      id: 1,
      offset,
    });
    record.u8.set(frame.subarray(0, layout.headers + 200), DESCRIPTOR_BYTES);
    joiner.add(source, record, 0, DESCRIPTOR_BYTES + layout.headers + 200);
  }
  joiner.close();
  assert.deepEqual(lengths, [200, 200, 200, 200]);
});

test("descriptors that no sender of ours makes are refused, and never lead outside the record", () => {
  const record = new Memory(8_192);
  const joiner = new Joiner(() => {});
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
