import assert from "node:assert/strict";
import { test } from "node:test";
import { type AddressFamilies, decodeMessage, encodeMessage } from "#dns/messages.js";
import { WeaveError } from "#src/errors.js";

/** Whether a peer takes a record of this address. */
function takes(address: string, families: AddressFamilies): boolean {
  const origin = "02:00:00:00:00:01";
  const record = { hostname: "web.weave.local", address, ident: "a", origin, version: 1, tombstone: 0 };
  const bytes = encodeMessage({ kind: "states", states: [{ origin, incarnation: 1, horizon: 0, records: [record] }] });
  try {
    decodeMessage(bytes, families);
    return true;
  } catch (error) {
    assert.ok(error instanceof WeaveError && error.code === "WEAVE_MESSAGE_MALFORMED", String(error));
    return false;
  }
}

test("names have IPv4 addresses alone: an answer could hold no other", () => {
  for (const address of ["10.32.0.1", "255.255.255.255"]) assert.ok(takes(address, "ipv4"), address);
  for (const address of ["fd00:90::2", "10.32.0.256", "999.1.1.1", "10.32.0", "1:2", "", "x"])
    assert.ok(!takes(address, "ipv4"), address);
});

test("claims may be of IPv6 addresses, in their one form: else one address could be claimed twice", () => {
  for (const address of ["10.32.0.1", "fd00:90::2"]) assert.ok(takes(address, "both"), address);
  for (const address of ["FD00:90::2", "fd00:90:0::2", "fd00::/64", "fe80::1%eth0", "1:2", "...", "::1 "])
    assert.ok(!takes(address, "both"), address);
});
