import assert from "node:assert/strict";
import { test } from "node:test";
import { linkTraffic, trafficOf } from "#src/linux/links/link-traffic.js";

const TABLE = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:    1036      12    0    0    0     0          0         0     1037      12    0    0    0     0       0          0
weave-vx: 5000000000 900  0    0    0     0          0         0  7000000001     800    0    0    0     0       0          0
weave-vxe:1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16
`;

test("the bytes of a link are read, also where the counter touches the name", () => {
  assert.deepEqual(trafficOf("weave-vx", TABLE), { receivedBytes: 5_000_000_000, sentBytes: 7_000_000_001 });
  assert.deepEqual(trafficOf("weave-vxe", TABLE), { receivedBytes: 1, sentBytes: 9 });
  assert.deepEqual(trafficOf("lo", TABLE), { receivedBytes: 1_036, sentBytes: 1_037 });
});

test("a link that does not exist has none", () => {
  assert.equal(trafficOf("weave", TABLE), undefined);
  assert.equal(linkTraffic("no-such-link"), undefined);
});
