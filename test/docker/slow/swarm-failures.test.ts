import assert from "node:assert/strict";
import type { DockerHost } from "#test/lab/docker-host.js";
import {
  installedSwarm,
  joinSwarm,
  meshed,
  mirror,
  PLUGIN_2_5_2,
  powerCycle,
  reaches,
  registryTests,
  SERVICE,
  SWARM_MS,
  settled,
  tasksOf,
} from "#test/lab/swarm.js";
import { until } from "#test/lab/wait.js";

/** What nodes of a swarm go through: drained, killed, off, restarted, gone, promoted. The tests build upon one another. */

let h1: DockerHost;
let h2: DockerHost;
let h3: DockerHost;
let hosts: readonly DockerHost[];

const REPLICAS = 6;
const web = { service: "web", network: "weavenet1", replicas: REPLICAS };

const test = registryTests(3, async (made) => {
  hosts = made;
  [h1, h2, h3] = made;
  await installedSwarm(hosts);
  const subnet = "--subnet 10.1.1.0/24 --gateway 10.1.1.1";
  await h1.type(`docker network create --driver=${PLUGIN_2_5_2} ${subnet} --attachable weavenet1`);
  const heartbeat = "docker swarm update --dispatcher-heartbeat 2s";
  await h1.type(heartbeat);
  await h1.type(`${SERVICE} --replicas ${REPLICAS} --name web --network weavenet1 busybox sleep 9999`);
  await settled(hosts, web);
});

const nodeIs = (host: DockerHost, state: string, manager = h1) =>
  until(
    `${host.name} is ${state}`,
    async () =>
      (await manager.shell(`docker node inspect -f '{{.Status.State}}' ${host.name}`)).stdout.trim() === state,
    SWARM_MS,
  );
const tasksOn = async (host: DockerHost) =>
  (await tasksOf(hosts, "web", "weavenet1")).filter((task) => task.host === host).length;
/** Distributes the tasks again, after a node has returned. */
const spread = async (manager = h1) => {
  await manager.type("docker service update --detach --force --update-parallelism 6 web");
  await until(
    "the update is complete",
    async () => (await manager.type("docker service inspect -f '{{.UpdateStatus.State}}' web")) === "completed",
    SWARM_MS,
  );
  await settled(hosts, web);
};
/** Whether each task reaches all others, on all nodes. */
const allReach = async () => {
  const tasks = await tasksOf(hosts, "web", "weavenet1");
  for (const { host, container } of tasks) for (const { address } of tasks) await reaches(host, container, address);
};

test("a drained node has no task and no interface; active again it has some", { timeout: 600_000 }, async () => {
  await h1.type("docker node update --availability drain h3");
  await until("its tasks have moved", async () => (await tasksOn(h3)) === 0, SWARM_MS);
  await settled(hosts, web);
  assert.doesNotMatch(await h3.ok("ps"), /10\.1\.1\./);
  await h1.type("docker node update --availability active h3");
  await spread();
  assert.ok((await tasksOn(h3)) > 0);
  await allReach();
});

test("an engine that was killed returns, with its plugin, network and tasks", { timeout: 600_000 }, async () => {
  await h3.stopEngine("KILL");
  await nodeIs(h3, "down");
  await until(
    "its tasks run elsewhere",
    async () => (await tasksOf([h1, h2], "web", "weavenet1")).length === REPLICAS,
    SWARM_MS,
  );
  await h3.startEngine(...mirror());
  await nodeIs(h3, "ready");
  await meshed(hosts);
  await settled(hosts, web);
  await spread();
  assert.ok((await tasksOn(h3)) > 0);
  await allReach();
});

test("a machine that was off returns", { timeout: 600_000 }, async () => {
  await powerCycle(h2, async () => {
    await nodeIs(h2, "down");
    await until(
      "its tasks run elsewhere",
      async () => (await tasksOf([h1, h3], "web", "weavenet1")).length === REPLICAS,
      SWARM_MS,
    );
  });
  await h2.startEngine(...mirror());
  await nodeIs(h2, "ready");
  await meshed(hosts);
  await spread();
  assert.ok((await tasksOn(h2)) > 0);
  await allReach();
});

test("a manager's engine that restarts disturbs no task of the workers", { timeout: 600_000 }, async () => {
  const [from, to] = (await tasksOf([h2, h3], "web", "weavenet1")).filter(
    ({ host }, i, all) => all.findIndex((each) => each.host === host) === i,
  );
  const pinging = from.host.shell(`docker exec ${from.container} ping -c 50 -i 0.2 -W 1 ${to.address}`);
  await h1.stopEngine();
  await h1.startEngine(...mirror());
  const lost = Number(/(\d+)% packet loss/.exec((await pinging).stdout)?.[1]);
  assert.ok(lost <= 4, `${lost} % of the pings between workers were lost`);
  await nodeIs(h1, "ready");
  await meshed(hosts);
  await settled(hosts, web);
  await allReach();
});

test("promoted managers are targets, and go on without the first one", { timeout: 600_000 }, async () => {
  await h1.type("docker node promote h2 h3");
  const targets = async (host: DockerHost) => (await host.ok("status", "targets")).trim().split("\n").sort();
  await until("h1 has them as targets", async () => String(await targets(h1)) === "10.99.0.2,10.99.0.3", SWARM_MS);
  await h1.stopEngine();
  await nodeIs(h1, "down", h2);
  const others = [h2, h3];
  await until(
    "a further network can be created",
    async () => (await h2.shell(`docker network create -d ${PLUGIN_2_5_2} --subnet 10.1.3.0/24 more`)).code === 0,
    SWARM_MS,
  );
  await h2.type(`${SERVICE} --replicas 4 --name more --network more busybox sleep 9999`);
  await settled(others, { service: "more", network: "more", replicas: 4 });
  await h1.startEngine(...mirror());
  await nodeIs(h1, "ready", h2);
  await h2.type("docker service rm more");
  // Not before the first manager takes part in their agreement again.
  for (const name of ["h3", "h2"])
    await until(`${name} is demoted`, async () => (await h1.shell(`docker node demote ${name}`)).code === 0, SWARM_MS);
  await meshed(hosts);
});

test("a node leaves the swarm, is cleaned, and joins again", { timeout: 600_000 }, async () => {
  await h3.type("docker swarm leave");
  await nodeIs(h3, "down");
  assert.doesNotMatch(await h3.type("docker network ls"), /weavenet1/);
  await until("its interfaces are gone", async () => !/10\.1\.1\./.test(await h3.ok("ps")), SWARM_MS);
  await h1.type("docker node rm h3");
  await settled(hosts, web);
  await joinSwarm(h3, h1);
  await meshed(hosts);
  await spread();
  assert.ok((await tasksOn(h3)) > 0);
  await allReach();
});
