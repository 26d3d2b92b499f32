import { statSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { ServiceNamespaces } from "#docker/services/service-namespaces.js";
import { namedNetns } from "#src/linux/netns/netns.js";
import { silentLog } from "#src/log.js";
import { median } from "#test/lab/measure.js";
import { must } from "#test/lab/namespace.js";

/** Times the rules of service addresses, `npm run bench:services`: 50 namespaces, 100 services with 10 tasks each. */
const NAMESPACES = 50;
const SERVICES = 100;
const TASKS = 10;

const names = Array.from({ length: NAMESPACES }, (_, i) => `svcbench${i}`);
const servicesOf = (tasks: number) =>
  Array.from({ length: SERVICES }, (_, s) => ({
    address: `10.1.${s}.1`,
    targets: Array.from({ length: tasks }, (_, t) => `10.1.${s}.${10 + t}`),
    draining: [],
  }));
try {
  for (const name of names) await must("ip", "netns", "add", name);
  const places = names.map((name) => {
    const path = namedNetns(name);
    return { path, inode: statSync(path).ino };
  });
  const namespaces = new ServiceNamespaces(silentLog);
  const times: number[] = [];
  for (const tasks of [TASKS, TASKS + 1, TASKS, TASKS + 1]) {
    const before = namespaces.status.changes;
    const begin = performance.now();
    const cpu = process.cpuUsage();
    const services = servicesOf(tasks);
    namespaces.set(places.map((netns) => ({ netns, services })));
    while (namespaces.status.changes < before + NAMESPACES) await sleep(2);
    const { user, system } = process.cpuUsage(cpu);
    times.push(performance.now() - begin);
    console.log(
      `${NAMESPACES} namespaces, ${SERVICES} services of ${tasks} tasks: ${times.at(-1)?.toFixed(0)} ms, this process ${((user + system) / 1e3).toFixed(0)} ms of CPU`,
    );
  }
  console.log(`median ${median(times).toFixed(0)} ms`);
  const begin = performance.now();
  namespaces.set(places.map((netns) => ({ netns, services: servicesOf(TASKS + 1) })));
  console.log(`no change: ${(performance.now() - begin).toFixed(1)} ms, ${namespaces.status.changes} changes in all`);
  namespaces.stop();
} finally {
  for (const name of names) await must("ip", "netns", "delete", name).catch(() => {});
}
