import assert from "node:assert/strict";
import { test } from "node:test";
import { NAME_FORMAT } from "#dns/name-record.js";

/** Whether a peer accepts a record of this address. */
const accepts = (address: string): boolean =>
  NAME_FORMAT.shape.safeParse(NAME_FORMAT.pack({ hostname: "web.weave.local", address, ident: "a" })).success;

test("names have IPv4 addresses alone: an answer could hold no other", () => {
  for (const address of ["10.32.0.1", "255.255.255.255"]) assert.ok(accepts(address), address);
  for (const address of ["fd00:90::2", "10.32.0.256", "999.1.1.1", "10.32.0", "1:2", "", "x"])
    assert.ok(!accepts(address), address);
});

test("a packed name has all its fields, and no others", () => {
  for (const packed of [[], ["a"], ["a", "10.32.0.1"], ["a", "10.32.0.1", "c", "d"], ["a", "10.32.0.1", 7]])
    assert.ok(!NAME_FORMAT.shape.safeParse(packed).success, JSON.stringify(packed));
});
