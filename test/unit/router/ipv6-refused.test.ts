import assert from "node:assert/strict";
import { test } from "node:test";
import { parseEngineAddress } from "#docker/engine/engine-address.js";
import { parseListen as parseProxyListen } from "#docker/proxy/proxy-options.js";
import { ROUTER_FLAGS } from "#router/flags.js";
import { parseDnsListen } from "#router/names/options.js";
import { parsePeer } from "#router/peers/targets.js";
import { parseValue } from "#src/flag.js";
import { parseServerAddress } from "#src/http/listen.js";

const REASON = /IPv6 addresses are not supported yet/;

test("wherever a host is given, an IPv6 address is refused by name, with brackets and a port or bare", () => {
  for (const address of ["[::1]:6783", "[fd00::1%eth0]:6783", "[2001:db8::1]", "::1", "fe80::1:2:3:4"]) {
    assert.throws(() => parsePeer(address), { code: "WEAVE_PEER_INVALID", message: REASON }, address);
    assert.throws(() => parseServerAddress(address), { code: "WEAVE_FLAG_INVALID", message: REASON }, address);
    const engine = `tcp://${address}`;
    assert.throws(() => parseEngineAddress(engine), { code: "WEAVE_FLAG_INVALID", message: REASON }, address);
    for (const text of [address, `tcp://${address}`]) assert.throws(() => parseProxyListen(text), REASON, text);
    assert.throws(() => parseDnsListen(address), REASON, address);
    for (const row of [ROUTER_FLAGS.httpAddr, ROUTER_FLAGS.statusAddr, ROUTER_FLAGS.dnsListenAddress])
      assert.throws(() => parseValue(row, "a flag", address), { code: "WEAVE_FLAG_INVALID", message: REASON }, address);
  }
});

test("a malformed text that is no IPv6 address is refused with the general reason", () => {
  assert.throws(() => parsePeer("a:b"), { message: 'invalid peer name "a:b", should be host[:port]' });
  assert.throws(() => parseServerAddress("a"), { message: "'a' is no address to listen at" });
  assert.throws(() => parseEngineAddress("tcp://a:b"), { message: "'tcp://a:b' is no address of a Docker engine" });
  assert.throws(() => parseProxyListen("a"), { message: "" });
  assert.throws(() => parseDnsListen("a"), { message: "" });
});
