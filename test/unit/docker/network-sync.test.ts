import assert from "node:assert/strict";
import { test } from "node:test";
import { NetworkSync, type NetworkSyncDeps } from "#docker/plugin/network-sync.js";
import { silentLog } from "#src/log.js";

test("comparisons of networks run one after another, one for each call", async () => {
  let now = 0;
  let most = 0;
  let times = 0;
  const engine = {
    networks: async () => {
      most = Math.max(most, ++now);
      times++;
      await new Promise((resolve) => setTimeout(resolve, 5));
      now--;
      throw new Error("away");
    },
  };
  const networks = new NetworkSync({ engine, log: silentLog } as unknown as NetworkSyncDeps);
  await Promise.all([networks.compare(), networks.compare(), networks.compare()]);
  assert.deepEqual([most, times], [1, 3]);
});
