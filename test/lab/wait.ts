import { setTimeout as sleep } from "node:timers/promises";
import type { Host } from "#test/lab/host.js";

/** Waits until `condition` holds. @throws with `what` when it does not in time */
export async function until(
  what: string,
  condition: () => Promise<boolean> | boolean,
  timeoutMs = 15_000,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`waited ${timeoutMs / 1000} s in vain: ${what}`);
    await sleep(50);
  }
}

/** Waits until `host` has `count` established connections. */
export async function connected(host: Host, count: number, timeoutMs?: number): Promise<void> {
  await until(
    `${host.name} has ${count} established connections`,
    async () => {
      const { body } = await host.api("GET", "/status/connections").catch(() => ({ body: "" }));
      return body.split("\n").filter((line) => line.includes(" established ")).length === count;
    },
    timeoutMs,
  );
}
