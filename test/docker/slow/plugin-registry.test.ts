import assert from "node:assert/strict";
import type { DockerHost } from "#test/lab/docker-host.js";
import { refused } from "#test/lab/docker-tests.js";
import { changePlugin } from "#test/lab/plugin-folder.js";
import {
  makeSwarm,
  meshed,
  PLUGIN_2_5_2 as NAME,
  PLUGIN,
  publish,
  reaches,
  registryTests,
  SERVICE,
  SWARM_MS,
  settled,
  tasksOf,
  typePatiently,
} from "#test/lab/swarm.js";
import { until } from "#test/lab/wait.js";

/** The managed plugin from a registry: installed by its name in Docker's store, upgraded, removed. The tests build upon one another. */

let h1: DockerHost;
let h2: DockerHost;
let hosts: readonly DockerHost[];
let folder: string;

const test = registryTests(2, async (made, files) => {
  hosts = made;
  [h1, h2] = made;
  folder = files;
});

const peerName = async (host = h1) => {
  await until("its router runs", async () => (await host.weave("status")).code === 0);
  return host.ok("report", "-f", "{{.Router.Name}}");
};
const publishNext = async (version: string) => {
  changePlugin(folder, version);
  await publish(h1, folder, version);
};
const upgrade = (host: DockerHost, version: string) =>
  typePatiently(host, `docker plugin upgrade --skip-remote-check --grant-all-permissions ${NAME} ${PLUGIN}:${version}`);
/** Description and settings. */
const inspected = (host: DockerHost) =>
  host.type(`docker plugin inspect -f '{{.Config.Description}} {{.Settings.Env}}' ${NAME}`);

test("it is installed by a name of Docker's store, after a question about its rights", {
  timeout: 600_000,
}, async (t) => {
  const start = Date.now();
  const output = await typePatiently(h1, `yes | docker plugin install ${NAME} WEAVE_PASSWORD=secret`);
  t.diagnostic(`installed and enabled after ${Date.now() - start} ms`);
  for (const right of ["network: [host]", "host pid namespace: [true]", "/dev/net/tun", "CAP_SYS_ADMIN"])
    assert.ok(output.includes(right), output);
  assert.equal(await h1.type(`docker plugin ls --format '{{.Name}} {{.Enabled}}'`), `${NAME} true`);
  await peerName();
});

test("an upgrade keeps its settings and its state", { timeout: 600_000 }, async () => {
  const before = await peerName();
  await publishNext("2.5.3");
  assert.match(
    await refused(h1, `docker plugin upgrade --skip-remote-check ${NAME} ${PLUGIN}:2.5.3`),
    /must be disabled/,
  );
  await h1.type(`docker plugin disable ${NAME}`);
  await upgrade(h1, "2.5.3");
  await h1.type(`docker plugin enable ${NAME}`);
  assert.match(await inspected(h1), /^2\.5\.3 .*WEAVE_PASSWORD=secret/);
  assert.equal(await peerName(), before);
  assert.match(await h1.ok("status"), /Encryption: enabled\n/);
});

test("a node with networks is drained for an upgrade, and works with the other version meanwhile", {
  timeout: 600_000,
}, async () => {
  await typePatiently(h2, `docker plugin install --grant-all-permissions ${NAME} WEAVE_PASSWORD=secret`);
  await makeSwarm(hosts);
  await meshed(hosts);
  await h1.type(`docker network create -d ${NAME} --subnet 10.1.1.0/24 weavenet1`);
  const web = { service: "web", network: "weavenet1", replicas: 4 };
  await h1.type(`${SERVICE} --replicas 4 --name web --network weavenet1 busybox sleep 9999`);
  await settled(hosts, web);
  assert.match(await refused(h2, `docker plugin disable ${NAME}`), /in use/);
  assert.match(await refused(h2, `docker plugin rm ${NAME}`), /in use|enabled/);
  assert.match(await refused(h2, `docker plugin set ${NAME} LOG_LEVEL=debug`), /disable plugin before setting/);
  await settled(hosts, web);

  await publishNext("2.5.4");
  await h1.type("docker node update --availability drain h2");
  await until("it is free", async () => (await h2.shell(`docker plugin disable ${NAME}`)).code === 0, SWARM_MS);
  await upgrade(h2, "2.5.4");
  await h2.type(`docker plugin enable ${NAME} && docker plugin inspect ${NAME}`);
  await h1.type("docker node update --availability active h2");
  await meshed(hosts);
  // A node reports its plugins every 20 s.
  await h1.type(`${SERVICE} --constraint node.hostname==h2 --name probe --network weavenet1 busybox sleep 9999`);
  await settled(hosts, { service: "probe", network: "weavenet1", replicas: 1 });
  await h1.type("docker service rm probe && docker service update --force --quiet web");
  await settled(hosts, web);
  assert.match(await inspected(h2), /^2\.5\.4 .*WEAVE_PASSWORD=secret/);
  assert.match(await inspected(h1), /^2\.5\.3 /);
  assert.ok((await tasksOf([h2], "web", "weavenet1")).length > 0);
  const tasks = await tasksOf(hosts, "web", "weavenet1");
  for (const { host, container } of tasks) for (const { address } of tasks) await reaches(host, container, address);
});

test("stopped by force and enabled again, it serves the containers that run on", { timeout: 600_000 }, async () => {
  const tasks = await tasksOf(hosts, "web", "weavenet1");
  const [from] = tasks.filter(({ host }) => host === h1);
  const [to] = tasks.filter(({ host }) => host === h2);
  await h2.type(`docker plugin disable --force ${NAME}`);
  assert.equal((await h2.weave("status")).code, 1);
  await h2.type(`docker plugin enable ${NAME}`);
  await meshed(hosts);
  await reaches(from.host, from.container, to.address);
  await reaches(to.host, to.container, from.address);
});

test("it is removed, with its processes", { timeout: 600_000 }, async () => {
  await h1.type("docker service rm web");
  await until("it is free", async () => (await h1.shell("docker network rm weavenet1")).code === 0, SWARM_MS);
  await until(
    "h1's plugin is free",
    async () => (await h1.shell(`docker plugin disable ${NAME}`)).code === 0,
    SWARM_MS,
  );
  await h1.type(`docker plugin rm ${NAME}`);
  assert.equal(await h1.type("docker plugin ls -q"), "");
  assert.doesNotMatch(await h1.type("ps -e -o args"), /managed-plugin|router\/main/);
});
