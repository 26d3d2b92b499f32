import assert from "node:assert/strict";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { threadsFor } from "#router/datapath/datapath.js";
import { KEPT } from "#src/linux/capabilities.js";
import { threadStatuses } from "#src/linux/thread-status.js";
import type { Host } from "#test/lab/host.js";
import { labTest } from "#test/lab/lab-test.js";
import { environmentOf } from "#test/lab/router-process.js";
import { until } from "#test/lab/wait.js";

/** All threads of a process have at most the capabilities of a router, no new privileges, and, for a router, a filter. */
function isConfined(pid: number, filtered: boolean): void {
  const threads = threadStatuses(pid);
  assert.ok(filtered ? threads.length > 4 : threads.length === 1, `${threads.length} threads`);
  for (const { permitted, effective, bounding, inheritable, noNewPrivileges, filtered: filter } of threads) {
    for (const set of [permitted, effective, bounding, inheritable]) assert.equal(set & ~KEPT, 0n);
    assert.deepEqual([noNewPrivileges, filter], [true, filtered]);
  }
  const limits = readFileSync(`/proc/${pid}/limits`, "utf8");
  if (filtered) assert.match(limits, /^Max core file size +0 +0 /m);
}

/** Nice values of the threads of a process (proc_pid_stat(5)). */
const niceValues = (pid: number): number[] =>
  readdirSync(`/proc/${pid}/task`).map((id) => {
    const stat = readFileSync(`/proc/${pid}/task/${id}/stat`, "utf8");
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[16]);
  });

const privileges = async (host: Host) => /Privileges: (.*)/.exec(await host.ok("status"))?.[1];
const AS_WANTED = "9 capabilities, no new privileges, system calls filtered";

labTest(
  "every thread of a router and its supervisor is confined, and all that touches the kernel works",
  { hosts: 2, timeout: 240_000 },
  async (lab) => {
    const [h1, h2] = lab.hosts;
    await h1.launch("--datapath-nice", "-10");
    await h2.launch(h1.address);
    isConfined(h1.routerPid!, true);
    isConfined(h1.supervisorPid!, false);
    // The threads of the frame path have the priority that was asked for, and no others.
    assert.equal(niceValues(h1.routerPid!).filter((nice) => nice === -10).length, threadsFor(availableParallelism()));
    assert.equal(await privileges(h1), AS_WANTED);
    const report = JSON.parse(await h1.report("{{json .Confinement}}"));
    assert.deepEqual([report.Unneeded, report.Refused], [[], []]);
    const [c1, c2] = [await h1.attach("c", "10.32.0.1/12"), await h2.attach("c", "10.32.0.2/12")];
    await until("a container reaches the other host's", async () => (await c1.ping("10.32.0.2", { count: 1 })) > 0);
    await h2.ok("expose", "10.32.0.9/12");
    await until("a container reaches the other host", async () => (await c1.ping("10.32.0.9", { count: 1 })) > 0);
    await h2.ok("hide");
    // A crash: the supervisor's next router is confined, too.
    const before = h1.routerPid!;
    process.kill(before, "SIGKILL");
    await until("a router is back", async () => h1.routerPid !== undefined && h1.routerPid !== before);
    await until("it answers", async () => (await h1.weave("status")).code === 0);
    isConfined(h1.routerPid!, true);
    await h1.ok("restart");
    isConfined(h1.routerPid!, true);
    isConfined(h1.supervisorPid!, false);
    await until("frames pass again", async () => (await c2.ping("10.32.0.1", { count: 1 })) > 0, 60_000);
    await h1.ok("reset");
  },
);

labTest("a router in the foreground is confined by itself", { hosts: 1, timeout: 120_000 }, async (lab) => {
  const [h1] = lab.hosts;
  const router = h1.spawn(["env", ...environmentOf(h1), ...h1.weaveCommand, "launch", "--foreground"]);
  await until("it is ready", async () => h1.routerPid !== undefined, 30_000);
  isConfined(h1.routerPid!, true);
  assert.equal(await privileges(h1), AS_WANTED);
  // It may end before the command does.
  const ended = once(router, "exit");
  await h1.ok("stop");
  await ended;
});
