import assert from "node:assert/strict";
import type { DockerHost } from "#test/lab/docker-host.js";
import {
  makeSwarm,
  meshed,
  networkGone,
  PLUGIN_2_5_2,
  reaches,
  registryTests,
  resolved,
  SERVICE,
  SWARM_MS,
  settled,
  tasksOf,
  typePatiently,
} from "#test/lab/swarm.js";
import { until } from "#test/lab/wait.js";

/** A swarm of three nodes with the managed plugin, from its installation to the removal of its networks. The tests build upon one another. */

let h1: DockerHost;
let h3: DockerHost;
let hosts: readonly DockerHost[];

const test = registryTests(3, async (made) => {
  hosts = made;
  [h1, , h3] = made;
});

const weavenet1 = (service: string, replicas: number) => ({ service, network: "weavenet1", replicas });
const createWeavenet1 = () =>
  h1.type(`docker network create --driver=${PLUGIN_2_5_2} --subnet 10.1.1.0/24 --gateway 10.1.1.1 weavenet1`);

test("the plugin is installed on each node, after a question about its rights", { timeout: 600_000 }, async (t) => {
  for (const host of hosts) {
    const start = Date.now();
    const output = await typePatiently(host, `yes | docker plugin install ${PLUGIN_2_5_2}`);
    t.diagnostic(`${host.name}: installed and enabled after ${Date.now() - start} ms`);
    for (const right of ["network: [host]", "/dev/net/tun", "CAP_SYS_ADMIN", "Do you grant the above permissions?"])
      assert.ok(output.includes(right), output);
  }
  await makeSwarm(hosts);
  await meshed(hosts);
});

test("services on a manager's network reach one another by name on all nodes", { timeout: 600_000 }, async () => {
  await createWeavenet1();
  await h1.type(`${SERVICE} --replicas 3 --name tester1 --network weavenet1 busybox tail -f /dev/null`);
  await h1.type(`${SERVICE} --replicas 3 --name tester2 --network weavenet1 busybox tail -f /dev/null`);
  for (const service of ["tester1", "tester2"]) await settled(hosts, weavenet1(service, 3));
  const shown = new RegExp(`weavenet1 +${PLUGIN_2_5_2} +swarm`);
  for (const host of hosts) assert.match(await host.type("docker network ls"), shown, host.name);
  const others = await tasksOf(hosts, "tester2", "weavenet1");
  assert.deepEqual(new Set(others.map(({ host }) => host.name)).size, 3, "a replica on each node");
  const names = (await h1.type("docker service ps --no-trunc --format '{{.Name}}.{{.ID}}' tester2")).split("\n");
  for (const { host, container } of await tasksOf(hosts, "tester1", "weavenet1"))
    for (const name of ["tester2", ...names, ...others.map(({ address }) => address)])
      await reaches(host, container, name);
});

test("a second network has a range of addresses, and serves containers too", { timeout: 600_000 }, async () => {
  const range = "--subnet=172.30.0.0/24 --ip-range=172.30.0.0/28 --gateway=172.30.0.254";
  await h1.type(`docker network create -d ${PLUGIN_2_5_2} ${range} --attachable specifics-over`);
  await h1.type(`${SERVICE} --replicas 3 --name both --network weavenet1 --network specifics-over busybox sleep 9999`);
  await h3.type("docker run -d --name guest --network specifics-over busybox sleep 9999");
  for (const network of ["weavenet1", "specifics-over"])
    await until(
      `the tasks are on ${network}`,
      async () => (await tasksOf(hosts, "both", network)).length === 3,
      SWARM_MS,
    );
  const specific = (await tasksOf(hosts, "both", "specifics-over")).map(({ address }) => address);
  for (const address of specific) {
    assert.match(address, /^172\.30\.0\.([0-9]|1[0-5])$/);
    await reaches(h3, "guest", address);
  }
  for (const { host, container } of await tasksOf(hosts, "both", "weavenet1")) {
    await reaches(host, container, "guest");
    for (const { address } of await tasksOf(hosts, "tester1", "weavenet1")) await reaches(host, container, address);
  }
  assert.deepEqual(await resolved(h3, "guest", "tasks.tester1"), [], "names are of one network");
  await h1.type("docker service rm both");
  await h3.type("docker rm -f guest");
  await until(
    "the second network is removed",
    async () => (await h1.shell("docker network rm specifics-over")).code === 0,
    SWARM_MS,
  );
  await networkGone(hosts, "specifics-over");
});

test("a service is scaled from one task to ten and back, without a stale name or address", {
  timeout: 600_000,
}, async (t) => {
  await h1.type("docker service rm tester2");
  for (const replicas of [1, 10, 1]) {
    const start = Date.now();
    await h1.type(`docker service scale --detach tester1=${replicas}`);
    await settled(hosts, weavenet1("tester1", replicas));
    t.diagnostic(`${replicas} tasks: all names and addresses are right on all nodes after ${Date.now() - start} ms`);
  }
});

test("updates of a service leave no stale name or address, whether a task stops first or starts first", {
  timeout: 600_000,
}, async () => {
  await h1.type("docker service scale --detach tester1=4");
  await settled(hosts, weavenet1("tester1", 4));
  for (const host of hosts) await host.type("docker tag busybox busybox:next");
  const updates = [
    ["stop-first", "--env-add COLOR=red"],
    ["start-first", "--env-add COLOR=green"],
    ["start-first", "--no-resolve-image --image busybox:next"],
  ];
  for (const [order, change] of updates) {
    await h1.type(`docker service update --detach --update-order ${order} --update-parallelism 2 ${change} tester1`);
    await until(
      `the update by ${change} is complete`,
      async () => (await h1.type("docker service inspect -f '{{.UpdateStatus.State}}' tester1")) === "completed",
      SWARM_MS,
    );
    await settled(hosts, weavenet1("tester1", 4));
  }
});

test("a stack uses the network, and leaves nothing when it is removed", { timeout: 600_000 }, async () => {
  const service = "{ image: busybox, command: sleep 9999, networks: [weavenet1], deploy: { replicas: 2 } }";
  const file = `services: { web: ${service}, shop: ${service} }\nnetworks: { weavenet1: { external: true } }`;
  const deploy = "docker stack deploy --detach=true --resolve-image never --compose-file -";
  await h1.type(`${deploy} app <<'END'\nversion: "3.8"\n${file}\nEND`);
  for (const name of ["app_web", "app_shop"]) await settled(hosts, weavenet1(name, 2));
  for (const { host, container } of await tasksOf(hosts, "app_shop", "weavenet1"))
    await reaches(host, container, "web");
  await h1.type("docker stack rm app");
  await settled(hosts, weavenet1("app_web", 0));
  for (const { host, container } of await tasksOf(hosts, "tester1", "weavenet1"))
    await until(
      "the names are gone",
      async () => (await resolved(host, container, "tasks.app_web")).length === 0,
      SWARM_MS,
    );
});

test("a removed network is gone on all nodes, and one of its name works", { timeout: 600_000 }, async () => {
  await h1.type("docker service rm tester1");
  await until("it is free", async () => (await h1.shell("docker network rm weavenet1")).code === 0, SWARM_MS);
  await networkGone(hosts, "weavenet1");
  for (const host of hosts) assert.doesNotMatch(await host.ok("ps"), /10\.1\.1\./);
  await createWeavenet1();
  await h1.type(`${SERVICE} --replicas 3 --name again --network weavenet1 busybox sleep 9999`);
  await settled(hosts, weavenet1("again", 3));
  const tasks = await tasksOf(hosts, "again", "weavenet1");
  for (const { host, container } of tasks) for (const { address } of tasks) await reaches(host, container, address);
});
