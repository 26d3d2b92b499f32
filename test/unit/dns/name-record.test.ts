import assert from "node:assert/strict";
import { test } from "node:test";
import { NAME_FORMAT } from "#dns/name-record.js";
import { ReplicaCodec } from "#mesh/replica/replica-message.js";
import { WeaveError } from "#src/errors.js";

const codec = new ReplicaCodec(NAME_FORMAT);

/** Whether a peer accepts a record of this address. */
function accepts(address: string): boolean {
  const origin = "02:00:00:00:00:01";
  const record = { hostname: "web.weave.local", address, ident: "a", origin, version: 1, tombstone: 0 };
  const bytes = codec.encode({ kind: "states", states: [{ origin, incarnation: 1, horizon: 0, records: [record] }] });
  try {
    codec.decode(bytes);
    return true;
  } catch (error) {
    assert.ok(error instanceof WeaveError && error.code === "WEAVE_MESSAGE_MALFORMED", String(error));
    return false;
  }
}

test("names have IPv4 addresses alone: an answer could hold no other", () => {
  for (const address of ["10.32.0.1", "255.255.255.255"]) assert.ok(accepts(address), address);
  for (const address of ["fd00:90::2", "10.32.0.256", "999.1.1.1", "10.32.0", "1:2", "", "x"])
    assert.ok(!accepts(address), address);
});
