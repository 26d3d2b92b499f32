import { existsSync, writeFileSync } from "node:fs";
import { must } from "#test/lab/namespace.js";

/**
 * Sets the nice value of a process's first thread: for a router that is the event loop. Where the kernel groups processes by session
 * (autogroup, sched(7)) it is that of the session, too: nice values of single threads count only within it.
 */
export async function setPriority(pid: number, nice: number): Promise<void> {
  await must("renice", "-n", String(nice), "-p", String(pid));
  const session = `/proc/${pid}/autogroup`;
  if (existsSync(session)) writeFileSync(session, String(nice));
}
