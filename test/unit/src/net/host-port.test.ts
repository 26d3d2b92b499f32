import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { hostOf, ipv6Reason, isHost, isPort, parseHostPort, portOf } from "#src/net/host-port.js";

const label = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?$/);
const name = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join("."));
const host = fc.oneof(name, fc.ipV4());
const port = fc.integer({ min: 1, max: 65_535 });

test("host:port is parsed to the values that it was formatted from", () => {
  fc.assert(
    fc.property(host, port, (host, port) => {
      const text = `${host}:${port}`;
      assert.deepEqual(parseHostPort(text), { host, port });
      assert.deepEqual([hostOf(text), portOf(text)], [host, port]);
      assert.deepEqual(parseHostPort(host), { host, port: undefined });
      assert.equal(ipv6Reason(text), undefined);
    }),
  );
});

test("host or port may be missing; incomplete text is rejected", () => {
  assert.deepEqual(parseHostPort(":80"), { host: "", port: 80 });
  assert.deepEqual(parseHostPort(""), { host: "", port: undefined });
  for (const text of [
    "h:",
    "h:0",
    "h:65536",
    "h:000080",
    "h:8x",
    "h: 80",
    "h:-1",
    ":",
    "a:1:2",
    "a/b",
    "a b:1",
    "h\n:1",
  ])
    assert.equal(parseHostPort(text), undefined, text);
  assert.equal(parseHostPort("a".repeat(254)), undefined);
  assert.deepEqual(parseHostPort("h:0", { port0: true }), { host: "h", port: 0 });
  assert.equal(parseHostPort("h:65536", { port0: true }), undefined);
});

test("IPv6 is rejected with a reason, with and without brackets and port", () => {
  fc.assert(
    fc.property(fc.ipV6(), port, (address, port) => {
      for (const text of [address, `[${address}]`, `[${address}]:${port}`]) {
        assert.equal(parseHostPort(text), undefined, text);
        assert.equal(ipv6Reason(text), "IPv6 addresses are not supported yet", text);
      }
    }),
  );
  for (const text of ["a:1:2", "h:0", "10.0.0.1:80", "", "[", "x[::1]"])
    assert.equal(ipv6Reason(text), undefined, text);
});

test("random text is rejected, or parsed to a host and a port that format to the same text", () => {
  const characters = fc.constantFrom(..."[]:./% \n\0-_0123456789abfx:::[[]]".split(""), "é", "𝟙");
  const strange = fc.oneof(fc.string({ unit: "binary" }), fc.string({ unit: characters }), fc.string());
  fc.assert(
    fc.property(strange, (text) => {
      const parsed = parseHostPort(text);
      if (parsed === undefined) return;
      const { host, port } = parsed;
      assert.ok(!/[\s:/[\]]/.test(host) && host.length <= 253);
      assert.ok(port === undefined || (port >= 1 && port <= 65_535));
      // Zeros before a port are all that is lost.
      assert.equal(port === undefined ? host : `${host}:${port}`, text.replace(/:0*(\d+)$/, ":$1"));
    }),
    { numRuns: 20_000 },
  );
});

test("ports are decimal from 1 to 65535; hosts are names or IPv4 addresses", () => {
  for (const text of ["1", "65535", "00080"]) assert.ok(isPort(text), text);
  for (const text of ["0", "65536", "", "1e3", "+1", " 1", "٣"]) assert.ok(!isPort(text), text);
  for (const text of ["a", "a_b.c-d", "10.0.0.1", "h1"]) assert.ok(isHost(text), text);
  for (const text of ["", "10.0.0.256", "1.2.3", "::1", "a b", "a".repeat(254)]) assert.ok(!isHost(text), text);
});
