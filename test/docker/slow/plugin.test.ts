import assert from "node:assert/strict";
import type { DockerHost } from "#test/lab/docker-host.js";
import { dockerTests, refused } from "#test/lab/docker-tests.js";
import { pluginFolder } from "#test/lab/plugin-folder.js";
import { joinSwarm, makeSwarm, meshed, reaches, SWARM_MS, typePatiently } from "#test/lab/swarm.js";
import { until } from "#test/lab/wait.js";

/** The managed plugin on the engines of a swarm of two nodes. The tests build upon one another. */

/** Any name: Docker's names of plugins are those of images. */
const NAME = "weave/net-plugin:test";
const PASSWORD = "correct horse";

let h1: DockerHost;
let h2: DockerHost;
let hosts: readonly DockerHost[];
/** What `docker plugin create` takes. */
let folder: string;

const test = dockerTests(2, async (made, lab) => {
  hosts = made;
  [h1, h2] = made;
  folder = pluginFolder(lab.folder);
});

/** Whether the plugin is enabled, in Docker's words. */
const enabled = (host: DockerHost) => host.type(`docker plugin inspect -f '{{.Enabled}}' ${NAME}`);

test("it is created under any name, and enabled with settings", { timeout: 600_000 }, async (t) => {
  for (const host of hosts) {
    await typePatiently(host, `docker plugin create ${NAME} ${folder}`);
    await host.type(`docker plugin set ${NAME} WEAVE_PASSWORD='${PASSWORD}' WEAVE_MTU=1300 IPALLOC_RANGE=10.48.0.0/16`);
    await host.type(
      `docker plugin set ${NAME} WEAVE_PEERS='10.99.0.8, 10.99.0.9' EXTRA_ARGS='--nickname node-${host.name}'`,
    );
    const start = Date.now();
    await host.type(`docker plugin enable ${NAME}`);
    t.diagnostic(`${host.name}: enabled after ${Date.now() - start} ms`);
    assert.equal(await enabled(host), "true");
  }
});

test("the nodes of a swarm find one another, and the host's command shows it", { timeout: 600_000 }, async () => {
  await makeSwarm(hosts);
  await meshed(hosts);
  assert.match(await h1.ok("status", "connections"), /established encrypted/);
  const names = await Promise.all(
    hosts.map((host) => host.ok("report", "-f", "{{.Router.Name}} {{.Router.NickName}}")),
  );
  assert.notEqual(names[0].split(" ")[0], names[1].split(" ")[0], "peers have names of their own");
  assert.match(names[1], / node-h2$/);
  // Those of the settings, and the manager.
  assert.deepEqual((await h2.ok("status", "targets")).trim().split("\n"), ["10.99.0.8", "10.99.0.9", "10.99.0.1"]);
  const status = await h2.ok("status");
  for (const line of [
    /Supervision: plugin\n/,
    /Service: plugin \(v2\)/,
    /Swarm: worker/,
    /Encryption: enabled/,
    /Range: 10\.48\.0\.0\/16/,
  ])
    assert.match(status, line);
});

test("containers on a network of the swarm reach one another by name and by multicast's route", async () => {
  const network = "--subnet 10.1.1.0/24 --gateway 10.1.1.1 --attachable --opt works.weave.multicast=true weavenet1";
  await h1.type(`docker network create --driver=${NAME} ${network}`);
  // The manager first allocates its addresses.
  const shown = new RegExp(`weavenet1 +${NAME} +swarm`);
  await until("the network is shown", async () => shown.test(await h1.type("docker network ls")));
  await h1.type("docker run -d --name one --network weavenet1 busybox sleep 600");
  await h2.type("docker run -d --name two --network weavenet1 busybox sleep 600");
  await reaches(h1, "one", "two");
  await reaches(h2, "two", "one");
  assert.match(await h1.type("docker exec one ip link show ethwe0"), /mtu 1300/);
  // A node gets the options that the manager's plugin has answered.
  assert.match(await h2.type("docker exec two ip route"), /224\.0\.0\.0\/4 dev ethwe0/);
});

test("tasks of a service reach one another across the nodes by their names", { timeout: 600_000 }, async () => {
  const service = "docker service create -d --no-resolve-image --endpoint-mode dnsrr --network weavenet1";
  await h1.type(`${service} --name web --replicas 4 busybox sleep 600`);
  const tasks = async () =>
    (await h1.type("docker service ps --filter desired-state=running --format '{{.Node}} {{.CurrentState}}' web"))
      .split("\n")
      .filter((line) => line.includes("Running"));
  await until("four tasks run", async () => (await tasks()).length === 4, SWARM_MS);
  assert.deepEqual([...new Set((await tasks()).map((line) => line.split(" ")[0]))].sort(), ["h1", "h2"]);
  for (const host of hosts) {
    const container = (await host.type("docker ps -q --filter label=com.docker.swarm.service.name=web")).split("\n")[0];
    let addresses: string[] = [];
    await until(
      `${host.name} resolves all tasks`,
      async () => {
        const output = (await host.shell(`docker exec ${container} nslookup tasks.web 127.0.0.11`)).stdout;
        addresses = [...new Set(output.match(/10\.1\.1\.\d+/g) ?? [])];
        return addresses.length === 4;
      },
      SWARM_MS,
    );
    for (const address of addresses) await reaches(host, container, address);
  }
  await h1.type("docker service rm web");
});

/** Waits until a task of the service shows an error like this. */
const taskFails = (service: string, error: RegExp) =>
  until(
    `a task of ${service} fails by ${error}`,
    async () => error.test(await h1.type(`docker service ps --no-trunc --format '{{.Error}}' ${service}`)),
    SWARM_MS,
  );

test("a subnet in weave's own range is rejected with advice", { timeout: 600_000 }, async () => {
  await h1.type(`docker network create --driver=${NAME} --subnet 10.48.3.0/24 clash`);
  await h1.type("docker service create -d --no-resolve-image --network clash --name lost busybox sleep 600");
  await taskFails("lost", /10\.48\.3\.0\/24 overlaps 10\.48\.0\.0\/16.*another --subnet, or set another IPALLOC_RANGE/);
  await h1.type("docker service rm lost");
  await until("the network is free", async () => (await h1.shell("docker network rm clash")).code === 0);
});

test("it returns with the engine, and with the router after a kill", { timeout: 600_000 }, async (t) => {
  await h2.killRouter();
  await meshed(hosts);
  await reaches(h1, "one", "two");
  await h2.stopEngine();
  const start = Date.now();
  await h2.startEngine();
  t.diagnostic(`the engine answers after ${Date.now() - start} ms, with the plugin enabled`);
  assert.equal(await enabled(h2), "true");
  await meshed(hosts);
  // Docker's own limit is 20 s, in which the manager must have a session with the engine.
  const run = "docker rm -f three; docker run -d --name three --network weavenet1 busybox sleep 600";
  await until("h2 runs a container", async () => (await h2.shell(run)).code === 0, SWARM_MS);
  await reaches(h1, "one", "three");
});

test("a password that has changed is used after a kill of the router and a start of the engine, without a new setting", {
  timeout: 600_000,
}, async () => {
  await h1.type("umask 077; echo another horse >/run/next");
  await h1.ok("rekey", "--password-file", "/run/next", "--deadline", "1s");
  await until("the earlier is gone", async () => (await h1.report("{{.Secret.EarlierUntil}}")) === "", 30_000);
  await h2.killRouter();
  await meshed(hosts);
  await h2.stopEngine();
  await h2.startEngine();
  await meshed(hosts);
  assert.match(await h2.ok("status"), /The network has another password now/);
});

test("it is not disabled while a network uses it; without one a wrong setting is an answer", {
  timeout: 600_000,
}, async () => {
  assert.match(await refused(h1, `docker plugin disable ${NAME}`), /in use/);
  await h2.type("docker rm -f two three");
  await h2.type("docker swarm leave --force");
  await until("h2's network is gone", async () => !(await h2.type("docker network ls")).includes("weavenet1"));
  await h2.type(`docker plugin disable ${NAME}`);
  assert.equal((await h2.weave("status")).code, 1, "its router has stopped");
  await h2.type(`docker plugin set ${NAME} LOG_LEVEL=loud`);
  await h2.type(`docker plugin enable ${NAME}`);
  assert.equal(await enabled(h2), "true", "an end would disable it");
  await joinSwarm(h2, h1);
  const service = "docker service create -d --no-resolve-image --constraint node.hostname==h2 --network weavenet1";
  await h1.type(`${service} --name mute busybox sleep 600`);
  await taskFails("mute", /the router of this plugin does not run: .*log-level.*docker plugin set/);
  await h1.type("docker service rm mute");
});

test("it is removed, and a next one of its name has its state", { timeout: 600_000 }, async (t) => {
  const name = (host: DockerHost) => host.ok("report", "-f", "{{.Router.Name}}");
  const before = await name(h1);
  await h1.type("docker rm -f one");
  await until("the network is free", async () => (await h1.shell("docker network rm weavenet1")).code === 0);
  const disabled = async () => (await h1.shell(`docker plugin disable ${NAME}`)).code === 0;
  await until("the plugin is free, after the network", disabled);
  await h1.type(`docker plugin rm ${NAME}`);
  assert.doesNotMatch(await h1.type("ps -e -o args"), /managed-plugin|router\/main/);
  await h1.stopEngine();
  const start = Date.now();
  await h1.startEngine();
  t.diagnostic(`the engine answers after ${Date.now() - start} ms, without a plugin`);
  await typePatiently(h1, `docker plugin create ${NAME} ${folder}`);
  await h1.type(`docker plugin enable ${NAME}`);
  await until("its router runs", async () => (await h1.weave("status")).code === 0);
  assert.equal(await name(h1), before);
});
