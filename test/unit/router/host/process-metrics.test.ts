import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { EventLoopDelay } from "#router/host/event-loop-delay.js";
import { processMetrics } from "#router/host/process-metrics.js";
import { Scrape } from "#router/service.js";

test("delays are counted in all buckets that are as large, and beyond the last in none", () => {
  const delay = new EventLoopDelay();
  for (const seconds of [-0.001, 0.004, 0.3, 9]) delay.add(seconds);
  const { buckets, sum, count } = delay.read();
  delay.stop();
  const counts = Object.fromEntries(buckets.map((each) => [each.atMost, each.count]));
  assert.deepEqual([counts[0.002], counts[0.005], counts[0.25], counts[0.5], counts[2.5]], [1, 2, 2, 3, 3]);
  assert.equal(count, 4);
  assert.ok(Math.abs(sum - 9.304) < 1e-9);
});

test("a loop that is blocked is seen as late", async () => {
  const delay = new EventLoopDelay();
  delay.read();
  await sleep(200);
  const until = performance.now() + 400;
  while (performance.now() < until);
  await sleep(20);
  const { sum, count } = delay.read();
  delay.stop();
  assert.ok(count >= 1 && sum > 0.2, `${count} ${sum}`);
});

test("the process's own metrics have plausible values", async () => {
  const scrape = new Scrape();
  const value = async (name: string) =>
    Number(
      await processMetrics()
        .find((each) => each.name === name)!
        .read(scrape),
    );
  assert.ok(Math.abs((await value("process_start_time_seconds")) - Date.now() / 1_000) < 600);
  assert.ok((await value("process_resident_memory_bytes")) > 10e6);
  assert.ok((await value("process_virtual_memory_bytes")) > (await value("process_resident_memory_bytes")));
  assert.ok(
    (await value("process_open_fds")) > 3 && (await value("process_open_fds")) <= (await value("process_max_fds")),
  );
  const cpu = await value("process_cpu_seconds_total");
  assert.ok(cpu > 0.01);
  assert.ok(
    Math.abs(
      cpu - (await value("process_cpu_user_seconds_total")) - (await value("process_cpu_system_seconds_total")),
    ) < 1e-6,
  );
});
