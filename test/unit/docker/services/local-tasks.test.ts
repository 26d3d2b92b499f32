import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readlinkSync } from "node:fs";
import { type TestContext, test } from "node:test";
import type { Container } from "#docker/engine/shapes.js";
import { LocalTasks } from "#docker/services/local-tasks.js";
import { until } from "#test/lab/wait.js";
import { VirtualClock } from "#test/sim/virtual-time.js";

const ID = "c".repeat(64);
const NETWORK = "abcdefghijklmnopqrstuvwxy";

/** Starts a process in a network namespace of its own. */
async function startProcess(t: TestContext): Promise<number> {
  const user = process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"];
  const child = spawn("unshare", [...user, "--net", "sleep", "60"], { stdio: "ignore" });
  t.after(() => child.kill());
  const netns = (pid: number | string) => readlinkSync(`/proc/${pid}/ns/net`);
  await until("the process is in its namespace", () => netns(child.pid!) !== netns("self"));
  return child.pid!;
}

const container = (Pid: number) =>
  ({
    Id: ID,
    State: { Pid, Paused: false, Health: null },
    Config: { StopSignal: "" },
    NetworkSettings: { Networks: { net: { NetworkID: NETWORK, EndpointID: "e" } } },
  }) as unknown as Container;

function localTasks() {
  const clock = new VirtualClock();
  const changes: (readonly string[])[] = [];
  const tasks = new LocalTasks({ clock, isOurNetwork: () => true, onChange: (networks) => changes.push(networks) });
  const signal = (number: string) =>
    tasks.event({ Type: "container", Action: "kill", Actor: { ID, Attributes: { signal: number } } });
  const reasons = () => [...tasks.containers[0].draining];
  return { clock, changes, tasks, signal, reasons };
}

test("a container that ignores its stop signal serves again after a while", async (t) => {
  const { clock, changes, tasks, signal, reasons } = localTasks();
  const running = container(await startProcess(t));
  tasks.running(running);
  signal("15");
  await clock.run(50_000);
  signal("15");
  await clock.run(50_000);
  tasks.running(running);
  assert.deepEqual(reasons(), ["stopping"], "each signal begins a grace period");
  const before = changes.length;
  await clock.run(11_000);
  assert.deepEqual([reasons(), changes.slice(before)], [[], [[NETWORK]]]);
});

test("a container that runs again, with another process, is not being stopped", async (t) => {
  const { clock, changes, tasks, signal, reasons } = localTasks();
  tasks.running(container(await startProcess(t)));
  signal("15");
  tasks.running(container(await startProcess(t)));
  assert.deepEqual(reasons(), []);
  await clock.run(30_000);
  signal("9");
  await clock.run(40_000);
  assert.deepEqual(reasons(), ["stopping"], "the limit of the first process does not count for the second");
  tasks.ended(ID);
  const before = changes.length;
  await clock.run(60_000);
  assert.equal(changes.length, before);
});
