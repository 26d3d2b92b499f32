import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  decodeArpReply,
  decodeProbe,
  encodeArpProbe,
  encodeProbe,
  LEAST_PROBE_BYTES,
  PROBE_TOKEN_BYTES,
} from "#router/probes/probe-frame.js";
import { macFromNumber } from "#src/mac.js";

const [A, B] = ["02:00:00:00:00:0a", "02:00:00:00:00:0b"];
const mac = fc.integer({ min: 1, max: 2 ** 40 - 1 }).map((low) => macFromNumber(0x02_00_00_00_00_00 + low));
const token = fc.uint8Array({ minLength: PROBE_TOKEN_BYTES, maxLength: PROBE_TOKEN_BYTES });

test("a probe of any size is decoded as it was made", () => {
  const probe = fc.record({
    type: fc.constantFrom("request" as const, "answer" as const),
    from: mac,
    to: mac,
    token,
    bytes: fc.integer({ min: LEAST_PROBE_BYTES, max: 9_000 }),
  });
  fc.assert(
    fc.property(probe, (each) => {
      const frame = encodeProbe(each);
      assert.equal(frame.length, 14 + each.bytes);
      assert.deepEqual(decodeProbe(frame), { ...each });
    }),
  );
});

test("what is no probe is none: any bytes, and each probe that is cut or from a group", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => decodeProbe(bytes) === undefined));
  const frame = encodeProbe({ type: "request", from: A, to: B, token: new Uint8Array(PROBE_TOKEN_BYTES), bytes: 0 });
  for (let length = 0; length < frame.length; length++) assert.equal(decodeProbe(frame.subarray(0, length)), undefined);
  const group = Uint8Array.from(frame);
  group[6] |= 1;
  assert.equal(decodeProbe(group), undefined);
});

/** The reply of a host to an ARP request, as its kernel makes it. */
function replyTo(request: Uint8Array, from: string): Uint8Array {
  const reply = Buffer.from(request);
  const owner = Buffer.from(from.replaceAll(":", ""), "hex");
  reply.copy(reply, 0, 6, 12);
  reply.set(owner, 6);
  reply.writeUInt16BE(2, 20);
  reply.copy(reply, 32, 22, 28);
  reply.copy(reply, 28, 38, 42);
  reply.set(owner, 22);
  return reply;
}

test("an ARP probe has no sender's address, and its reply names address and MAC", () => {
  const probe = encodeArpProbe("10.32.0.9", A, B);
  assert.equal(Buffer.from(probe.subarray(28, 32)).readUInt32BE(0), 0);
  assert.equal(Buffer.from(encodeArpProbe("10.32.0.9", A).subarray(0, 6)).toString("hex"), "f".repeat(12));
  const reply = replyTo(probe, B);
  assert.deepEqual(decodeArpReply(reply), { address: "10.32.0.9", mac: B });
  assert.equal(decodeArpReply(probe), undefined, "a request is no reply");
  assert.equal(decodeArpReply(replyTo(probe, "ff:ff:ff:ff:ff:ff")), undefined);
  assert.equal(decodeArpReply(replyTo(probe, "00:00:00:00:00:00")), undefined);
  for (let length = 0; length < reply.length; length++)
    assert.equal(decodeArpReply(reply.subarray(0, length)), undefined);
  fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => decodeArpReply(bytes) === undefined));
});
