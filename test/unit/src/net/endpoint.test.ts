import assert from "node:assert/strict";
import { test } from "node:test";
import { deserialize, serialize } from "node:v8";
import fc from "fast-check";
import {
  datagramOverhead,
  endpoint,
  endpointText,
  hostText,
  listenEndpoint,
  NO_ENDPOINT,
  SMALLEST_DATAGRAM,
  SMALLEST_SEGMENT,
} from "#src/net/endpoint.js";
import { ANY_HOST, isAddress } from "#src/net/family.js";

const byte = fc.integer({ min: 0, max: 255 });
const address = fc.tuple(byte, byte, byte, byte).map((bytes) => bytes.join("."));
const port = fc.integer({ min: 0, max: 65_535 });

test("an endpoint prints as it was given", () => {
  fc.assert(
    fc.property(address, port, (host, port) => {
      const value = endpoint(host, port);
      assert.equal(endpointText(value), `${host}:${port}`);
      assert.equal(hostText(value), host);
    }),
  );
});

test("ids are equal for equal endpoints alone, and an endpoint is the same on the other side of a thread", () => {
  const near = fc.constantFrom("0.0.0.0", "0.0.0.1", "127.255.255.255", "128.0.0.0", "255.255.255.255");
  const each = fc.record({ host: fc.oneof(address, near), port: fc.oneof(port, fc.constantFrom(0, 1, 65_535)) });
  fc.assert(
    fc.property(each, each, (a, b) => {
      const [x, y] = [endpoint(a.host, a.port), endpoint(b.host, b.port)];
      assert.equal(x.id === y.id, a.host === b.host && a.port === b.port);
      assert.ok(Number.isSafeInteger(x.id) && x.id !== NO_ENDPOINT);
      assert.deepEqual(deserialize(serialize(x)), x);
    }),
    { numRuns: 1_000 },
  );
});

test("a name, IPv6 and a port out of range are no endpoint", () => {
  const bad: readonly [string, number][] = [
    ["localhost", 1],
    ["::1", 1],
    ["10.0.0.256", 1],
    ["010.0.0.1", 1],
    ["10.0.1", 1],
    ["", 1],
    ["10.0.0.1", -1],
    ["10.0.0.1", 65_536],
    ["10.0.0.1", 1.5],
    ["10.0.0.1", Number.NaN],
  ];
  for (const [host, port] of bad)
    assert.throws(() => endpoint(host, port), { code: "WEAVE_ADDRESS_INVALID" }, `${host}:${port}`);
  assert.ok(!isAddress("localhost") && !isAddress("::1") && isAddress("10.0.0.1"));
});

test("an empty host to listen at is every address", () => {
  assert.equal(endpointText(listenEndpoint("", 6783)), `${ANY_HOST}:6783`);
  assert.equal(endpointText(listenEndpoint("10.0.0.1", 6783)), "10.0.0.1:6783");
});

test("the headers of IPv4 and UDP are 28 bytes, and every path carries 576", () => {
  assert.equal(datagramOverhead(4), 28);
  assert.equal(datagramOverhead(undefined), 28);
  assert.equal(SMALLEST_DATAGRAM, 548);
  assert.equal(SMALLEST_SEGMENT, 536);
});
