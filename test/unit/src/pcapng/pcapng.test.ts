import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { WeaveError } from "#src/errors.js";
import { BlockSplitter, readPacket, readStatistics } from "#src/pcapng/read.js";
import { interfaceBlock, packetBlock, sectionBlock, statisticsBlock } from "#src/pcapng/write.js";
import { tshark } from "#test/lab/capturing.js";
import { programMissing } from "#test/lab/requirements.js";

const HEAD = [
  sectionBlock({ hardware: "x64", os: "Linux 6.1", application: "weave 1.2.3" }),
  interfaceBlock({
    name: "weave-tap",
    description: "the peer h2",
    snapLength: 65_549,
    filter: "tcp port 80",
    os: "Linux 6.1",
  }),
];

const packets = fc.record({
  interface: fc.constant(0),
  seconds: fc.integer({ min: 0, max: 0xffff_ffff }),
  nanoseconds: fc.integer({ min: 0, max: 999_999_999 }),
  bytes: fc.uint8Array({ maxLength: 300 }),
  length: fc.integer({ min: 0, max: 70_000 }),
  direction: fc.constantFrom("in" as const, "out" as const),
  comment: fc.string({ maxLength: 40 }),
});

test("what is written is read again, however the stream is cut", () => {
  fc.assert(
    fc.property(fc.array(packets, { maxLength: 5 }), fc.array(fc.nat(2_000)), (written, cuts) => {
      const numbers = statisticsBlock({
        interface: 0,
        seconds: 1,
        nanoseconds: 2,
        received: 5,
        dropped: 3,
        comment: "end",
      });
      const all = Buffer.concat([...HEAD, ...written.map(packetBlock), numbers]);
      const splitter = new BlockSplitter();
      const ends = [...new Set([...cuts.map((cut) => cut % all.length), all.length])].sort((a, b) => a - b);
      const blocks = ends.flatMap((end, index) => splitter.push(all.subarray(index === 0 ? 0 : ends[index - 1], end)));
      assert.equal(splitter.pending, 0);
      assert.equal(blocks.length, HEAD.length + written.length + 1);
      const read = blocks.flatMap((block) => readPacket(block) ?? []);
      for (const [index, { seconds, nanoseconds, bytes, ...rest }] of written.entries()) {
        const { time, bytes: kept, ...others } = read[index];
        assert.deepEqual(others, rest);
        assert.equal(time, BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds));
        assert.deepEqual(kept, Buffer.from(bytes));
      }
      const read1 = blocks.flatMap((block) => readStatistics(block) ?? []);
      assert.deepEqual(read1, [{ interface: 0, received: 5, dropped: 3, comment: "end" }]);
    }),
  );
});

test("bytes that are no pcapng are an error of their own, and nothing else", () => {
  fc.assert(
    fc.property(packets, fc.array(fc.tuple(fc.nat(400), fc.nat(255)), { maxLength: 8 }), (packet, changes) => {
      const block = packetBlock(packet);
      for (const [at, value] of changes) if (at < block.length) block[at] = value;
      try {
        for (const each of new BlockSplitter().push(block)) {
          readPacket(each);
          readStatistics(each);
        }
      } catch (error) {
        assert.ok(error instanceof WeaveError && error.code === "WEAVE_MESSAGE_MALFORMED", String(error));
      }
    }),
  );
});

const skip = programMissing("tshark", "tshark") ?? false;

test("tshark reads times, directions, comments, and what section and interface are", { skip }, async () => {
  const folder = mkdtempSync(join(tmpdir(), "weave-pcapng-"));
  try {
    const file = join(folder, "a.pcapng");
    const bytes = Buffer.concat([Buffer.from("ffffffffffff02000000000188b5", "hex"), Buffer.alloc(50)]);
    const common = { interface: 0, seconds: 1_700_000_000, nanoseconds: 123_456_789, bytes };
    const blocks = [
      packetBlock({ ...common, length: bytes.length, direction: "out", comment: "to all hosts" }),
      packetBlock({ ...common, length: 1_500, direction: "in", comment: "" }),
      statisticsBlock({
        interface: 0,
        seconds: 1,
        nanoseconds: 0,
        received: 2,
        dropped: 0,
        comment: "its time is over",
      }),
    ];
    writeFileSync(file, Buffer.concat([...HEAD, ...blocks]));
    const fields = ["frame.time_epoch", "frame.len", "frame.cap_len", "frame.packet_flags", "frame.interface_name"];
    assert.deepEqual(await tshark(file, [...fields, "frame.interface_description", "frame.comment"]), [
      ["1700000000.123456789", "64", "64", "0x0000000e", "weave-tap", "the peer h2", "to all hosts"],
      ["1700000000.123456789", "1500", "64", "0x0000000d", "weave-tap", "the peer h2", ""],
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
