import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { readLink } from "#src/linux/netlink/kernel-link.js";
import { AttributeMap, readAttributes, readMessages } from "#src/linux/netlink/message-reader.js";
import { MessageWriter } from "#src/linux/netlink/message-writer.js";
import { AF_BRIDGE, type ForwardingRecord, readForwarding, writeForwarding } from "#src/linux/netlink/neighbour.js";
import { readHeartbeat } from "#src/linux/vxlan/heartbeat-socket.js";
import { tunnelAddress } from "#src/linux/wireguard/tunnel.js";
import { deviceChange, readDevice } from "#src/linux/wireguard/wireguard-message.js";
import { macFromNumber } from "#src/mac.js";
import { endpoint } from "#src/net/endpoint.js";

const bytes = fc.uint8Array({ maxLength: 300 });
const mac = fc.maxSafeNat().map((number) => macFromNumber(number % 2 ** 48));
const ipv4 = fc.ipV4();

test("no input makes a reader throw, or read outside of it", () => {
  fc.assert(
    fc.property(bytes, fc.nat(20), (input, start) => {
      // Bytes around the input must never appear: each value is a part of it.
      const room = new Uint8Array(input.length + 64).fill(0xa5);
      room.set(input, 32);
      const inside = room.subarray(32, 32 + input.length);
      const isPart = (part: Uint8Array) =>
        part.byteOffset >= inside.byteOffset && part.byteOffset + part.length <= inside.byteOffset + inside.length;
      for (const { body } of readMessages(inside)) assert.ok(isPart(body));
      for (const [, value] of readAttributes(inside, start)) assert.ok(isPart(value));
      readLink(inside);
      readForwarding(inside);
      readHeartbeat(inside);
      readDevice([inside, inside]);
    }),
  );
});

test("messages with lengths that lie end the list", () => {
  const message = (length: number) => {
    const one = new Uint8Array(24);
    new DataView(one.buffer).setUint32(0, length, true);
    return one;
  };
  for (const length of [0, 15, 25, 0xffff_ffff]) assert.deepEqual(readMessages(message(length)), [], String(length));
  assert.equal(readMessages(message(24)).length, 1);
  for (const length of [0, 3, 9, 0xffff])
    assert.deepEqual(readAttributes(Uint8Array.of(length & 255, length >> 8, 1, 0, 1, 2, 3, 4)), []);
});

test("attributes are read as they were written, nested ones too", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 1, max: 100 }), bytes), { maxLength: 20 }),
      fc.nat(0xffff_ffff),
      fc.string({ maxLength: 15 }).filter((text) => !text.includes("\0")),
      (list, number, text) => {
        const writer = new MessageWriter().struct([4, number]).nested(200, (inner) => {
          for (const [type, value] of list) inner.bytes(type, value);
        });
        const body = writer
          .u32(201, number)
          .text(202, text)
          .be16(203, number & 0xffff)
          .u8(204, number & 255)
          .finish();
        const read = new AttributeMap(body, 4);
        assert.deepEqual(
          readAttributes(read.bytes(200)!).map(([type, value]) => [type, Uint8Array.from(value)]),
          list,
        );
        assert.equal(read.u32(201), number);
        assert.equal(read.text(202), text);
        assert.equal(read.be16(203), number & 0xffff);
        assert.equal(read.u8(204), number & 255);
        assert.equal(read.u32(204), undefined, "a value that is too short is none");
      },
    ),
  );
});

test("an attribute that is too long is not written", () => {
  assert.throws(() => new MessageWriter().bytes(1, new Uint8Array(65_532)), { code: "WEAVE_BOUNDS" });
  const many = (writer: MessageWriter) => {
    for (let i = 0; i < 3; i++) writer.bytes(1, new Uint8Array(30_000));
  };
  assert.throws(() => new MessageWriter().nested(1, many), { code: "WEAVE_BOUNDS" });
});

test("forwarding entries are read as they were written", () => {
  const record = fc.record({
    mac,
    ifindex: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
    state: fc.nat(0xffff),
    flags: fc.nat(255),
    host: fc.option(ipv4, { nil: undefined }),
    port: fc.option(fc.integer({ min: 1, max: 65_535 }), { nil: undefined }),
  });
  fc.assert(
    fc.property(record, (entry) => {
      const read = readForwarding(writeForwarding(entry));
      const expected = { ...entry, vlan: 0 };
      for (const key of ["host", "port"] as const) if (entry[key] === undefined) delete expected[key];
      assert.deepEqual(read, expected satisfies Partial<ForwardingRecord>);
    }),
  );
  const other = writeForwarding({ mac: "02:00:00:00:00:01", ifindex: 1, state: 0, flags: 0 });
  assert.equal(other[0], AF_BRIDGE);
  other[0] = 2;
  assert.equal(readForwarding(other), undefined, "an entry of another family");
});

test("a WireGuard peer is read as it was written, without its secrets", () => {
  const key = fc.uint8Array({ minLength: 32, maxLength: 32 }).filter((each) => each.some((byte) => byte !== 0));
  fc.assert(
    fc.property(key, key, ipv4, ipv4, fc.nat(65_535), (publicKey, presharedKey, host, address, keepaliveSeconds) => {
      const peer = { publicKey, presharedKey, endpoint: endpoint(host, 6_784), keepaliveSeconds, address };
      const writer = deviceChange("weave-wg", { listenPort: 6_784, peers: [peer] });
      const state = readDevice([writer.finish()]);
      assert.equal(state.listenPort, 6_784);
      assert.deepEqual(state.peers, [
        {
          ...{ publicKey, endpoint: endpoint(host, 6_784), keepaliveSeconds, allowed: [`${address}/32`] },
          ...{ lastHandshake: 0, received: 0, sent: 0 },
        },
      ]);
      writer.clear();
      assert.equal(writer.finish().length, 0);
    }),
  );
});

test("a peer whose networks come in two messages is one peer", () => {
  const publicKey = new Uint8Array(32).fill(7);
  const part = (address: string) => deviceChange("wg", { peers: [{ publicKey, address }] }).finish();
  const { peers } = readDevice([part("128.0.0.1"), part("128.0.0.2")]);
  assert.deepEqual(
    peers.map(({ allowed }) => allowed),
    [["128.0.0.1/32", "128.0.0.2/32"]],
  );
});

test("addresses in tunnels depend on the name alone, and spread over 30 bits", () => {
  const addresses = new Set<string>();
  for (let number = 0; number < 2_000; number++) addresses.add(tunnelAddress(macFromNumber(number)));
  assert.ok(addresses.size >= 1_998, `${addresses.size} of 2000 are distinct`);
  for (const address of addresses) {
    const first = Number(address.split(".")[0]);
    assert.ok(first >= 128 && first < 192, address);
  }
  assert.equal(tunnelAddress("02:00:00:00:00:01"), tunnelAddress("02:00:00:00:00:01"));
});
