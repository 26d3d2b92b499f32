/**
 * Nothing leaves in clear, whatever the sizes: for every size of datagram and every length of frame, what the transmitter
 * hands to the socket or to the event loop is not what came in, is opened by the other end, and is then what came in.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { DatagramSender } from "#router/datapath/datagram-socket.js";
import { NEXT_HOP_DATAGRAMS, NEXT_HOP_EVENT_LOOP } from "#router/datapath/next-hop.js";
import { DROPS, type Drop, Tally } from "#router/datapath/protocol.js";
import {
  AT_BODY,
  AT_HOPS,
  AT_KIND,
  AT_LANE,
  AT_PADDING,
  DATAGRAM_HEADER,
  KIND_CONTROL,
  KIND_FRAMES,
  KIND_SEGMENTS,
  MAX_FRAGMENTS,
  MAX_LANES,
  MAX_RECORD,
  RECORD_OVERHEAD,
} from "#router/datapath/record.js";
import { FLOOR_DATAGRAM, Session } from "#router/datapath/session.js";
import { DESCRIPTOR_BYTES, GSO_TCPV4, type Layout } from "#router/datapath/super-frame.js";
import { Transmitter } from "#router/datapath/transmitter.js";
import { NodeAesGcm, OpensslAesGcm } from "#src/linux/native/aes-gcm.js";
import type { IoVector } from "#src/linux/native/io-vector.js";
import { Memory } from "#src/linux/native/memory.js";
import { sealableLength } from "#src/linux/native/record-cipher.js";
import { MAX_SEND_BYTES } from "#src/linux/native/udp.js";
import { endpoint } from "#src/net/endpoint.js";
import { seededRandom } from "#test/sim/virtual-time.js";

const SEED = Number(process.env.FUZZ_SEED ?? 1);
const FRAME_HEADERS = 54;
const LAYOUT: Layout = { ip: 14, v6: false, l4: 34, udp: false, headers: FRAME_HEADERS };
/** What a TAP gives for a frame, virtio header included; the longest that an MTU of 65,521 allows, with a VLAN tag. */
const SHORTEST = 10 + 60;
const LONGEST = 10 + 65_539;
/** A record of one frame, before padding. */
const ofFrame = (length: number) => RECORD_OVERHEAD + 2 + length;

/** Where frames come from: no two places are alike. */
const source = new Memory(2 * MAX_RECORD);
source.u8.set(seededRandom(SEED).bytes(2 * MAX_RECORD));
source.u8.fill(0, 0, 10);

/** Keeps what would leave. */
class Wire implements DatagramSender {
  readonly memory = new Memory(MAX_SEND_BYTES);
  readonly datagrams: Buffer[] = [];

  send(parts: IoVector, segmentBytes: number): number {
    const total = parts.gather(this.memory, 0);
    const bytes = Buffer.from(this.memory.u8.slice(0, total));
    for (let at = 0; at < total; at += segmentBytes) this.datagrams.push(bytes.subarray(at, at + segmentBytes));
    return total;
  }

  close(): void {}
}

/** As the carrier by TCP takes them. */
const HAND_OVER_BYTES = 16_384;
const nextHop = (handsOver: boolean) => (handsOver ? NEXT_HOP_EVENT_LOOP : NEXT_HOP_DATAGRAMS);

interface Opened {
  readonly kind: number;
  readonly hops: number;
  readonly padding: number;
  readonly body: Buffer;
}

/** One end that sends, and the keys of the one that receives. */
class Ends {
  readonly wire = new Wire();
  readonly handedOver: Uint8Array[] = [];
  readonly tally = new Tally();
  readonly transmitter = new Transmitter(1, this.tally, {
    tooBig: () => assert.fail("nothing is too big for this wire"),
    record: (_session, record) => this.handedOver.push(record),
    frames: () => {},
  });
  readonly to: Session;
  readonly #at: Session;
  readonly #memory = new Memory(MAX_RECORD);

  constructor(lane: number, sealing: boolean, opening: boolean) {
    const make = (openssl: boolean) =>
      new Session({ local: 5, peer: 2, encrypted: true, lane, openssl, sender: this.wire });
    this.to = make(sealing);
    this.#at = make(opening);
    this.to.keys.remote = 5;
    this.to.address = endpoint("127.0.0.1", 1);
    this.to.handOverBytes = HAND_OVER_BYTES;
    // Each end overwrites what it was given.
    const key = () => new Uint8Array(32).fill(1 + lane);
    this.to.keys.setKey("seal", 0, key(), new Uint8Array(4), 0);
    this.#at.keys.setKey("open", 0, key(), new Uint8Array(4), 0);
  }

  /** All records that have left since the last call, opened. What they were made of is not on the wire. */
  received(clear: Uint8Array): Opened[] {
    this.transmitter.flush();
    const records: Opened[] = [];
    const fragments: Buffer[] = [];
    for (const datagram of this.wire.datagrams.splice(0)) {
      assert.ok(datagram.length <= this.to.datagramBytes, `a datagram of ${datagram.length} bytes`);
      assert.equal(datagram[1], fragments.length, "fragments follow one another");
      fragments.push(datagram.subarray(DATAGRAM_HEADER));
      if (fragments.length < datagram[2]) continue;
      records.push(this.#open(Buffer.concat(fragments), datagram[AT_LANE], datagram[2], clear));
      fragments.length = 0;
    }
    assert.equal(fragments.length, 0, "a record left in part");
    for (const record of this.handedOver.splice(0)) {
      records.push(this.#open(Buffer.from(record.subarray(1)), record[0], 1, clear));
      this.to.handedOver = 0;
    }
    return records;
  }

  #open(record: Buffer, laneEpoch: number, count: number, clear: Uint8Array): Opened {
    const middle = clear.length >>> 1;
    const sample = Buffer.from(clear.subarray(middle, middle + 24));
    assert.equal(record.includes(sample), false, `${record.length} bytes left in clear`);
    const memory = this.#memory;
    memory.u8.set(record);
    const result = this.#at.keys.open(memory, 0, record.length, laneEpoch, count);
    assert.equal(result, "ok", `a record of ${record.length} bytes`);
    const padding = memory.view.getUint16(AT_PADDING, true);
    const end = record.length - RECORD_OVERHEAD + AT_BODY - padding;
    return {
      kind: memory.u8[AT_KIND],
      hops: memory.u8[AT_HOPS],
      padding,
      body: Buffer.from(memory.u8.slice(AT_BODY, end)),
    };
  }

  get drops(): [Drop, number][] {
    return DROPS.filter((reason) => this.tally.drops[reason] > 0).map((reason) => [reason, this.tally.drops[reason]]);
  }

  /** A frame of `length` bytes with its virtio header, alone in its record. */
  frame(length: number, at: number): void {
    const clear = source.u8.subarray(at, at + length);
    this.transmitter.frame(this.to, 2, source, at, length);
    const [record, ...others] = this.received(clear);
    assert.equal(others.length, 0);
    assert.equal(record.kind, KIND_FRAMES);
    const written = record.body.readUInt16LE(0) || record.body.length - 2;
    assert.ok(record.body.subarray(2, 2 + written).equals(clear), `a frame of ${length} bytes`);
  }

  /** A record of `length` bytes that another peer has sealed. */
  relayed(length: number, at: number): void {
    source.view.setUint16(at + AT_PADDING, 0, true);
    const clear = source.u8.subarray(at + AT_BODY, at + AT_BODY + length - RECORD_OVERHEAD);
    this.transmitter.relay(this.to, source, at, length, 7);
    const [record, ...others] = this.received(clear);
    assert.equal(others.length, 0);
    assert.equal(record.hops, 7);
    assert.ok(record.body.equals(clear), `a relayed record of ${length} bytes`);
  }

  /** A super-frame of `payload` bytes in records of whole segments. */
  superFrame(payload: number, gsoSize: number, at: number): void {
    const length = 10 + FRAME_HEADERS + payload;
    const clear = source.u8.subarray(at + length - payload, at + length);
    this.transmitter.superFrame(this.to, 2, {
      memory: source,
      offset: at,
      length,
      layout: LAYOUT,
      gsoType: GSO_TCPV4,
      gsoSize,
    });
    const records = this.received(clear);
    assert.ok(records.every(({ kind }) => kind === KIND_SEGMENTS));
    const bodies = records.map(({ body }) => body.subarray(DESCRIPTOR_BYTES + FRAME_HEADERS));
    assert.ok(Buffer.concat(bodies).equals(clear), `a super-frame of ${payload} bytes in segments of ${gsoSize}`);
  }

  control(datagramBytes: number, at: number): void {
    const message = source.u8.slice(at, at + 40);
    this.transmitter.control(this.to, message, datagramBytes);
    const [record, ...others] = this.received(message);
    assert.equal(others.length, 0);
    assert.equal(record.kind, KIND_CONTROL);
    assert.ok(record.body.subarray(0, message.length).equals(message));
  }
}

/** A pair for each lane, with each combination of ciphers. */
const ends: Ends[] = Array.from(
  { length: MAX_LANES },
  (_, lane) => new Ends(lane, lane % 8 !== 7, lane % 8 !== 6 && lane !== 15),
);
const nothingDropped = () => assert.deepEqual(new Map(ends.flatMap((end) => end.drops)), new Map());

/** Lengths of a record that even fragments of such datagrams would bring to one that the cipher cannot do, or that are such. */
function dangerous(datagramBytes: number): number[] {
  const largest = datagramBytes - DATAGRAM_HEADER;
  const lengths: number[] = [];
  for (let length = 65_400; length < 65_568; length++) {
    const count = Math.ceil(length / largest);
    const even = count * Math.ceil(length / count);
    if (count <= MAX_FRAGMENTS && (sealableLength(even) !== even || sealableLength(length) !== length))
      lengths.push(length);
  }
  return lengths;
}

test("the lengths that are called sealable are those that each cipher seals and each opens; others are refused untouched", () => {
  const key = new Uint8Array(32).fill(3);
  const salt = new Uint8Array(4);
  const memory = new Memory(2 * MAX_RECORD);
  for (const Sealer of [OpensslAesGcm, NodeAesGcm]) {
    const sealer = new Sealer("seal", key, salt);
    const openers = [new OpensslAesGcm("open", key, salt), new NodeAesGcm("open", key, salt)];
    let counter = 0n;
    for (let length = 0; length < 131_200; length += length < 300 || (length > 65_400 && length < 65_700) ? 1 : 97) {
      const clear = source.u8.slice(0, length);
      memory.u8.set(clear);
      const sealed = sealer.run(memory, 0, length);
      assert.equal(sealed, sealableLength(length) === length, `${length} bytes`);
      if (!sealed) {
        assert.ok(Buffer.from(memory.u8.slice(0, length)).equals(clear));
        for (const opener of openers) assert.equal(opener.run(memory, 0, length), false);
        continue;
      }
      assert.equal(memory.view.getBigUint64(0, false), counter++, "a refused length uses no counter");
      const record = memory.u8.slice(0, length);
      for (const opener of openers) {
        memory.u8.set(record);
        assert.ok(opener.run(memory, 0, length), `${length} bytes`);
        assert.ok(Buffer.from(memory.u8.slice(8, length - 16)).equals(clear.subarray(8, length - 16)));
      }
    }
  }
  for (let length = 0; length < 140_000; length++) {
    const sealable = sealableLength(length);
    assert.ok(sealable >= length && sealable <= length + 24 && sealableLength(sealable) === sealable);
  }
});

test("datagrams of every size carry frames, relayed records, super-frames and control messages sealed", () => {
  const random = seededRandom(SEED);
  let heavy = 0;
  for (let bytes = FLOOR_DATAGRAM; bytes <= MAX_SEND_BYTES; bytes++) {
    const end = ends[bytes % MAX_LANES];
    end.to.datagramBytes = bytes;
    end.to.datagramsPerRecord = 1 + random.below(MAX_FRAGMENTS);
    end.to.nextHop = nextHop(bytes % 11 === 0);
    const at = random.below(30_000);
    // Which of the kinds a size is tried with changes from size to size; those that real links have get all.
    const lengths = dangerous(bytes);
    const usual = bytes <= 1_600 || (bytes >= 8_900 && bytes <= 9_216);
    for (let i = 0; i < (usual ? 3 : 1); i++) {
      const length = lengths.length > 0 ? lengths[random.below(lengths.length)] : 65_000 + random.below(500);
      if (lengths.length > 0) heavy++;
      const kind = usual ? i : random.below(3);
      if (kind === 0) end.frame(length - ofFrame(0), at);
      else if (kind === 1) end.relayed(length, at);
      else
        end.superFrame(length - RECORD_OVERHEAD - DESCRIPTOR_BYTES - FRAME_HEADERS, 1 + random.below(bytes) + 48, at);
    }
    end.frame(SHORTEST + random.below(1_500), at);
    end.to.nextHop = NEXT_HOP_DATAGRAMS;
    if (usual || bytes % 8 === 0) end.control(bytes, at);
  }
  assert.ok(heavy > 60_000, `${heavy} dangerous lengths`);
  nothingDropped();
});

for (const [bytes, stride] of [
  [FLOOR_DATAGRAM, 1],
  [1_452, 5],
  [1_464, 5],
  [1_472, 5],
  [8_972, 5],
  [MAX_SEND_BYTES, 5],
])
  test(`frames of every length, in datagrams of ${bytes} bytes`, () => {
    const random = seededRandom(SEED + bytes);
    const usable = ends.filter((_, lane) => lane % 8 < 6);
    for (let length = SHORTEST; length <= LONGEST; length += length > 65_300 || length < 2_000 ? 1 : stride) {
      const end = usable[length % usable.length];
      end.to.datagramBytes = bytes;
      end.to.nextHop = nextHop(length % 13 === 0);
      end.frame(length, random.below(30_000));
    }
    nothingDropped();
  });

/** The frames of a record's body. Length 0 is that of a frame which is alone, and takes the rest. */
function framesOf(body: Buffer): Buffer[] {
  const found: Buffer[] = [];
  for (let at = 0; at < body.length; ) {
    const length = body.readUInt16LE(at) || body.length - at - 2;
    found.push(body.subarray(at + 2, at + 2 + length));
    at += 2 + ((length + 1) & ~1);
  }
  return found;
}

test("frames read where their record will be are sealed there, and those in the way of another record beside it", () => {
  const random = seededRandom(SEED);
  let together = 0;
  for (let round = 0; round < 2_000; round++) {
    const end = ends[round % MAX_LANES];
    const { transmitter } = end;
    end.to.datagramBytes = FLOOR_DATAGRAM + random.below(random.below(2) === 0 ? 1_500 : 64_900);
    end.to.datagramsPerRecord = 1 + random.below(MAX_FRAGMENTS);
    end.to.nextHop = nextHop(random.below(4) === 0);
    const frames = Array.from({ length: 1 + random.below(60) }, () => {
      const most = random.below(20) === 0 && end.to.nextHop === NEXT_HOP_DATAGRAMS ? LONGEST - SHORTEST : 1_500;
      const length = SHORTEST + random.below(most);
      const at = transmitter.place();
      transmitter.memory.copyFrom(at, source, random.below(60_000), length);
      const frame = Buffer.from(transmitter.memory.u8.slice(at, at + length));
      // The record of another destination is open: this frame is behind it.
      transmitter.frame(end.to, random.below(6) === 0 ? 3 : 2, transmitter.memory, at, length);
      return frame;
    });
    const found: Buffer[] = [];
    for (const { body } of end.received(frames[0])) {
      const of = framesOf(body);
      if (of.length > 1) together++;
      found.push(...of);
    }
    assert.equal(found.length, frames.length);
    assert.ok(
      found.every((frame, i) => frame.equals(frames[i])),
      `round ${round}`,
    );
  }
  assert.ok(together > 1_000, `${together} records with several frames`);
  nothingDropped();
});

test("small frames of many sizes share records, and each of these is sealed", () => {
  const random = seededRandom(SEED);
  for (let round = 0; round < 2_000; round++) {
    const end = ends[round % MAX_LANES];
    end.to.datagramBytes = FLOOR_DATAGRAM + random.below(random.below(2) === 0 ? 9_000 : 64_900);
    end.to.datagramsPerRecord = 1 + random.below(MAX_FRAGMENTS);
    end.to.nextHop = nextHop(random.below(4) === 0);
    const most = random.below(2) === 0 ? 60 : 3_000;
    const frames = Array.from({ length: 1 + random.below(60) }, () => {
      const frame = { at: random.below(60_000), length: SHORTEST + random.below(most) };
      end.transmitter.frame(end.to, 2, source, frame.at, frame.length);
      return Buffer.from(source.u8.slice(frame.at, frame.at + frame.length));
    });
    const found: Buffer[] = [];
    for (const { body } of end.received(frames[0])) found.push(...framesOf(body));
    assert.equal(found.length, frames.length);
    assert.ok(found.every((frame, i) => frame.equals(frames[i])));
  }
  nothingDropped();
});

test("a cipher that fails lets nothing out, and its key seals nothing more; the other peers' records leave", () => {
  for (const handsOver of [false, true]) {
    const [broken, sound] = [new Ends(0, true, true), new Ends(1, true, true)];
    broken.to.nextHop = nextHop(handsOver);
    const { transmitter, tally } = broken;
    const { run } = OpensslAesGcm.prototype;
    transmitter.frame(broken.to, 2, source, 0, 400);
    OpensslAesGcm.prototype.run = () => false;
    try {
      transmitter.flush();
    } finally {
      OpensslAesGcm.prototype.run = run;
    }
    assert.deepEqual(broken.received(source.u8.subarray(0, 400)), []);
    assert.deepEqual(broken.drops, [["seal-refused", 1]]);
    assert.equal(tally.counters.recordsSent + tally.counters.datagramsSent, 0);
    // Also what had been taken in before: the bundle is closed with the key gone.
    assert.equal(broken.to.keys.canSeal(0), false);
    transmitter.frame(broken.to, 2, source, 0, 400);
    assert.deepEqual(broken.received(source.u8.subarray(0, 400)), []);
    assert.equal(tally.drops["key-missing"], 1);
    // One batch before and behind it.
    for (const at of [0, 1_000]) transmitter.frame(sound.to, 2, source, at, 400);
    transmitter.flush();
    assert.equal(sound.received(source.u8.subarray(0, 400)).length, 1);
    broken.to.keys.setKey("seal", 0, new Uint8Array(32).fill(1), new Uint8Array(4), 0);
    broken.frame(400, 0);
  }
});
