import assert from "node:assert/strict";
import { test } from "node:test";
import { RequestedAddresses, UNCONFIRMED_MS } from "#docker/addresses/requested-addresses.js";
import { addressText, parseAddress } from "#ipam/ring/subnet.js";
import { silentLog } from "#src/log.js";
import { VirtualClock } from "#test/sim/virtual-time.js";

test("a requested address is avoided before its container is listed, and as long as it is", async () => {
  const clock = new VirtualClock();
  let listed: string[] = [];
  let avoided: string[] = [];
  const requested = new RequestedAddresses({
    engine: {
      requestedAddresses: async () => [{ id: "c", addresses: listed }],
      container: () => Promise.reject(new Error("no such container")),
    },
    requests: {
      avoid: (addresses) => {
        avoided = [...addresses].map(addressText);
      },
    },
    clock,
    log: silentLog,
  });
  const listAfter = async (ms: number) => {
    await clock.run(ms);
    requested.event({ Type: "container", Action: "create", Actor: { ID: "c", Attributes: {} } });
    await clock.run(1);
  };
  requested.add(parseAddress("10.36.0.1"));
  assert.deepEqual(avoided, ["10.36.0.1"]);
  // This list was read before the container existed.
  await listAfter(0);
  assert.deepEqual(avoided, ["10.36.0.1"]);
  listed = ["10.36.0.1"];
  await listAfter(UNCONFIRMED_MS);
  assert.deepEqual(avoided, ["10.36.0.1"]);
  listed = [];
  await listAfter(2_000);
  assert.deepEqual(avoided, []);
});
