import assert from "node:assert/strict";
import { test } from "node:test";
import { CLAIM_FORMAT, type ClaimFields, claimOf } from "#docker/addresses/claim-record.js";

/** Whether a peer accepts the record of a claim. */
const accepts = (fields: ClaimFields): boolean => CLAIM_FORMAT.shape.safeParse(CLAIM_FORMAT.pack(fields)).success;

test("claims of IPv6 addresses must have the canonical form, so that one address has one text", () => {
  for (const address of ["10.32.0.1", "fd00:90::2"]) assert.ok(accepts(claimOf(address, "e")), address);
  for (const address of ["FD00:90::2", "fd00:90:0::2", "fd00::/64", "fe80::1%eth0", "1:2", "...", "::1 "])
    assert.ok(!accepts(claimOf(address, "e")), address);
});

test("a record under another name is no claim", () => {
  const forged = { ...claimOf("10.32.0.1", "e"), hostname: "other.claims." } as unknown as ClaimFields;
  assert.ok(!accepts(forged));
});
