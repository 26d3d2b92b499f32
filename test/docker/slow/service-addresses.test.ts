import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { dirname } from "node:path";
import { evenness } from "#test/lab/chi-squared.js";
import type { DockerHost } from "#test/lab/docker-host.js";
import { dockerTests } from "#test/lab/docker-tests.js";
import { Background, execute, must } from "#test/lab/namespace.js";
import { pluginFolder } from "#test/lab/plugin-folder.js";
import { makeSwarm, meshed, SWARM_MS } from "#test/lab/swarm.js";
import { until } from "#test/lab/wait.js";

/** Addresses of services in a swarm of two nodes with the managed plugin. The tests build upon one another. */

const NAME = "weave/net-plugin:services";
const TRAFFIC = new URL("../../lab/service-traffic.js", import.meta.url).pathname;
const SUBNET = "10.1.1.0/24";
/** To unpack the plugin on a disk that others use. */
const CREATE_MS = 300_000;
/** The probability of a false alarm. */
const RARE = 1e-6;
/** The machine's Node.js in a container of busybox, and the program of the tasks: it greets with the container's short id. */
const MOUNTS = ["/usr", "/lib", "/lib64", dirname(TRAFFIC)]
  .map((path) => `--mount type=bind,source=${path},target=${path},readonly`)
  .join(" ");
const SERVE = `${process.execPath} ${TRAFFIC} serve 80`;

let h1: DockerHost;
let h2: DockerHost;
let hosts: readonly DockerHost[];

const test = dockerTests(2, async (made, lab) => {
  hosts = made;
  [h1, h2] = made;
  const folder = pluginFolder(lab.folder);
  // One after the other: each unpacks 128 MB.
  for (const host of hosts) {
    const [file, ...args] = host.command("docker", "plugin", "create", NAME, folder);
    const { code, stderr } = await execute(file, args, {}, CREATE_MS);
    assert.equal(code, 0, stderr);
    await host.type(`docker plugin enable ${NAME}`);
  }
  await makeSwarm(hosts);
  await meshed(hosts);
  await h1.type(`docker network create --driver=${NAME} --subnet ${SUBNET} --gateway 10.1.1.1 --attachable weavenet1`);
});

const create = (flags: string, command = SERVE) =>
  h1.type(
    `docker service create -d --no-resolve-image --network weavenet1 --restart-delay 1s ${MOUNTS} ${flags} busybox ${command}`,
  );

/** The address that Docker has allocated for a service on the network. */
async function vipOf(service: string): Promise<string> {
  const vips = await h1.type(`docker service inspect -f '{{range .Endpoint.VirtualIPs}}{{.Addr}} {{end}}' ${service}`);
  return /10\.1\.1\.\d+/.exec(vips)![0];
}

/** Ids of the running containers of a service's tasks, as they greet. */
async function tasksOf(service: string): Promise<string[]> {
  const lists = await Promise.all(
    hosts.map((host) => host.type(`docker ps -q --filter label=com.docker.swarm.service.name=${service}`)),
  );
  return lists.flatMap((list) => list.split("\n").filter((id) => id !== "")).sort();
}

const tasksRun = (service: string, count: number) =>
  until(`${count} tasks of ${service} run`, async () => (await tasksOf(service)).length === count, SWARM_MS);

/**
 * What a program of traffic must begin with to run in a container's namespace. It becomes that program without a fork, so that a
 * signal reaches it.
 */
async function inside(host: DockerHost, container: string): Promise<string[]> {
  const pid = await host.type(`docker inspect -f '{{.State.Pid}}' ${container}`);
  const first = host.path("").split("/")[2];
  return ["-t", first, "-m", "--", "nsenter", `--net=/proc/${pid}/ns/net`, "--", process.execPath, TRAFFIC];
}

async function count(host: DockerHost, container: string, address: string, times: number) {
  const args = [...(await inside(host, container)), "count", address, "80", String(times), "4"];
  return JSON.parse(await must("nsenter", ...args)) as Record<string, number>;
}

async function background(host: DockerHost, container: string, ...args: string[]): Promise<Background> {
  const started = new Background(spawn("nsenter", [...(await inside(host, container)), ...args]));
  await started.ready;
  return started;
}

/** Waits until connections from a container lead to these tasks and to no others. */
async function leadsTo(host: DockerHost, container: string, address: string, tasks: readonly string[]): Promise<void> {
  let last = "";
  await until(
    `${container} of ${host.name} reaches ${tasks.join(" ")} at ${address}`,
    async () => {
      const counts = await count(host, container, address, tasks.length * 20);
      last = JSON.stringify(counts);
      return Object.keys(counts).sort().join(" ") === [...tasks].sort().join(" ");
    },
    SWARM_MS,
  ).catch((error) => {
    throw new Error(`${error.message}; the last connections: ${last}`);
  });
}

test("1,000 connections from containers of both nodes are spread evenly over six tasks", {
  timeout: 300_000,
}, async (t) => {
  await h1.type("docker run -d --name one --network weavenet1 busybox sleep 3600");
  await h2.type("docker run -d --name two --network weavenet1 busybox sleep 3600");
  // Without a health check a task would get connections before its program listens, as with Docker's own balancing.
  await create("--name web --replicas 6 --health-cmd 'nc 127.0.0.1 80 </dev/null' --health-interval 1s");
  await tasksRun("web", 6);
  const vip = await vipOf("web");
  const tasks = await tasksOf("web");
  for (const [host, container] of [
    [h1, "one"],
    [h2, "two"],
  ] as const) {
    await leadsTo(host, container, vip, tasks);
    const counts = await count(host, container, vip, 1_000);
    t.diagnostic(`${host.name}: ${JSON.stringify(counts)}, p = ${evenness(Object.values(counts)).toPrecision(2)}`);
    assert.deepEqual(Object.keys(counts).sort(), tasks);
    assert.ok(evenness(Object.values(counts)) > RARE);
    // By name, as users do it, and by ping.
    assert.match(await host.type(`docker exec ${container} sh -c 'nc web 80 </dev/null'`), /^[0-9a-f]{12}$/);
    await host.type(`docker exec ${container} ping -c 1 -W 2 web`);
  }
  // A task reaches its own service.
  await leadsTo(
    h1,
    (await h1.type("docker ps -q --filter label=com.docker.swarm.service.name=web")).split("\n")[0],
    vip,
    tasks,
  );
  assert.match(await h1.ok("status"), /Services: 1 address of 6 tasks, in \d+ containers/);
});

interface Opened {
  readonly begin: number;
  readonly end: number;
  readonly text: string;
}

interface Held {
  readonly server: string;
  readonly sent: number;
  readonly received: number;
  readonly end: string;
}

/** The rules of service addresses in a container's namespace, as text; "" without any. */
async function rulesIn(host: DockerHost, container: string): Promise<string> {
  const pid = await host.type(`docker inspect -f '{{.State.Pid}}' ${container}`);
  return host.type(`nsenter -t ${pid} -n nft list tables | grep weave || true`);
}

/** When each container of this host got its first stop signal, in ms of Unix, by the short id that it greets with. */
async function stops(host: DockerHost, sinceMs: number): Promise<Map<string, number>> {
  const format = "'{{.ID}} {{.TimeNano}}'";
  const since = Math.floor(sinceMs / 1_000);
  const lines = await host.type(
    `docker events --since ${since} --until ${Math.ceil(Date.now() / 1_000)} --filter event=kill --format ${format}`,
  );
  const times = lines
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.split(" "))
    .map(([id, nanos]) => [id.slice(0, 12), Number(nanos) / 1e6] as const);
  return new Map(times.reverse());
}

/** Time in which a stop is known on all hosts: gossip, and one change of the rules on a busy machine. */
const SPREAD_MS = 1_000;

/** All connections were served, and none was opened to a task that had got its stop signal. */
async function assertServed(opened: readonly Opened[], sinceMs: number): Promise<void> {
  const failed = opened.filter(({ text }) => text.startsWith("error"));
  assert.deepEqual(failed, [], `of ${opened.length} connections`);
  const stopped = new Map((await Promise.all(hosts.map((host) => stops(host, sinceMs)))).flatMap((each) => [...each]));
  const late = opened.filter(({ begin, text }) => begin > (stopped.get(text) ?? Number.POSITIVE_INFINITY) + SPREAD_MS);
  assert.deepEqual(late, [], "no connection leads to a task that is being stopped");
}

test("while a service is scaled up and down all connections are served, and open ones stay", {
  timeout: 300_000,
}, async (t) => {
  const vip = await vipOf("web");
  const began = Date.now();
  const held = await background(h1, "one", "hold", vip, "80", "12");
  const stream = await background(h2, "two", "stream", vip, "80");
  let start = Date.now();
  await h1.type("docker service scale -d web=10");
  await tasksRun("web", 10);
  t.diagnostic(`scaled to 10: all run after ${Date.now() - start} ms`);
  for (const [host, container] of [
    [h1, "one"],
    [h2, "two"],
  ] as const)
    await leadsTo(host, container, vip, await tasksOf("web"));
  t.diagnostic(`and all addresses are right after ${Date.now() - start} ms`);
  start = Date.now();
  await h1.type("docker service scale -d web=3");
  await tasksRun("web", 3);
  const left = await tasksOf("web");
  t.diagnostic(`scaled to 3: seven have ended after ${Date.now() - start} ms`);
  for (const [host, container] of [
    [h1, "one"],
    [h2, "two"],
  ] as const)
    await leadsTo(host, container, vip, left);
  await assertServed(JSON.parse(await stream.end()) as Opened[], began);
  const fates = JSON.parse(await held.end()) as Held[];
  for (const { server, sent, received, end } of fates)
    if (left.includes(server)) assert.deepEqual([end, received], ["", sent], "a connection to a task that is left");
    else assert.notEqual(end, "", "a connection to a task that has ended");
});

test("a service is updated without a failed connection, task after task", { timeout: 300_000 }, async () => {
  const vip = await vipOf("web");
  const before = await tasksOf("web");
  const began = Date.now();
  const stream = await background(h1, "one", "stream", vip, "80");
  await h1.type(
    "docker service update --no-resolve-image --force --update-parallelism 1 --update-order start-first web",
  );
  await tasksRun("web", 3);
  const tasks = await tasksOf("web");
  assert.deepEqual(
    tasks.filter((task) => before.includes(task)),
    [],
  );
  await leadsTo(h2, "two", vip, tasks);
  await assertServed(JSON.parse(await stream.end()) as Opened[], began);
});

test("a task that is not healthy, or paused, gets no new connections", { timeout: 300_000 }, async () => {
  const health = "--health-cmd 'test ! -e /sick' --health-interval 1s --health-retries 1 --health-start-period 1s";
  await create(`--name careful --replicas 3 ${health}`);
  const healthy = async () => {
    const lists = await Promise.all(
      hosts.map((host) =>
        host.type("docker ps -q --filter health=healthy --filter label=com.docker.swarm.service.name=careful"),
      ),
    );
    return lists.flatMap((list) => list.split("\n").filter((id) => id !== "")).sort();
  };
  await until("three tasks are healthy", async () => (await healthy()).length === 3, SWARM_MS);
  const vip = await vipOf("careful");
  // Not the same one: health checks begin again after a pause.
  const [sick, paused, third] = await healthy();
  const others = [paused, third];
  await leadsTo(h1, "one", vip, [sick, ...others]);
  const ofFirst = await h1.type("docker ps -q");
  const hostOf = (id: string) => (ofFirst.includes(id) ? h1 : h2);
  await hostOf(paused).type(`docker pause ${paused}`);
  await leadsTo(h1, "one", vip, [sick, third]);
  await leadsTo(h2, "two", vip, [sick, third]);
  await hostOf(paused).type(`docker unpause ${paused}`);
  await leadsTo(h1, "one", vip, [sick, ...others]);
  const began = Date.now();
  const stream = await background(h1, "one", "stream", vip, "80");
  await hostOf(sick).type(`docker exec ${sick} touch /sick`);
  await until(
    "swarm has replaced it",
    async () => (await healthy()).filter((id) => !others.includes(id)).some((id) => id !== sick),
    SWARM_MS,
  );
  await leadsTo(h1, "one", vip, await healthy());
  await assertServed(JSON.parse(await stream.end()) as Opened[], began);
  await h1.type("docker service rm careful");
});

test("a service without a task refuses at once; its next task serves; dnsrr has no rules", {
  timeout: 300_000,
}, async () => {
  const vip = await vipOf("web");
  await h1.type("docker service scale -d web=0");
  await tasksRun("web", 0);
  for (const [host, container] of [
    [h1, "one"],
    [h2, "two"],
  ] as const)
    await until(
      `${container}'s connections are refused`,
      async () => (await count(host, container, vip, 5))["error ECONNREFUSED"] === 5,
    );
  await h1.type("docker service scale -d web=2");
  await tasksRun("web", 2);
  await leadsTo(h1, "one", vip, await tasksOf("web"));
  await leadsTo(h2, "two", vip, await tasksOf("web"));
  await create("--name plain --replicas 2 --endpoint-mode dnsrr");
  await tasksRun("plain", 2);
  await until("its name resolves", async () =>
    /^[0-9a-f]{12}$/.test((await h1.shell("docker exec one sh -c 'nc plain 80 </dev/null'")).stdout.trim()),
  );
  // Those of web. The address of the service that was removed counts as well, until an endpoint has it.
  assert.match(await h1.ok("status"), /Services: [12] address(es)? of 2 tasks/);
  await h1.type("docker service rm plain");
});

test("a container that is disconnected has no rules; it has them when it is connected again", {
  timeout: 120_000,
}, async () => {
  const vip = await vipOf("web");
  assert.match(await rulesIn(h2, "two"), /weave_services/);
  await h2.type("docker network disconnect weavenet1 two");
  await until("the rules are gone", async () => (await rulesIn(h2, "two")) === "");
  await h2.type("docker network connect weavenet1 two");
  await leadsTo(h2, "two", vip, await tasksOf("web"));
  await h2.type("docker run -d --name local busybox sleep 3600");
  assert.equal(await rulesIn(h2, "local"), "");
});

test("a container's first connection is served", { timeout: 120_000 }, async () => {
  const lines = await Promise.all(
    Array.from({ length: 5 }, () =>
      h2.type(`docker run --rm --network weavenet1 busybox sh -c 'nc -w 5 web 80 </dev/null'`),
    ),
  );
  for (const line of lines) assert.match(line, /^[0-9a-f]{12}$/);
});

test("without a router the rules stay, and its successor changes them", { timeout: 180_000 }, async () => {
  const vip = await vipOf("web");
  const tasks = await tasksOf("web");
  const held = await background(h2, "two", "hold", vip, "80", "6");
  await h2.killRouter();
  assert.match(await rulesIn(h2, "two"), /weave_services/);
  await meshed(hosts);
  await leadsTo(h2, "two", vip, tasks);
  const fates = JSON.parse(await held.end()) as Held[];
  for (const { sent, received, end } of fates) assert.deepEqual([end, received], ["", sent]);
  await h1.type("docker service scale -d web=4");
  await tasksRun("web", 4);
  await leadsTo(h2, "two", vip, await tasksOf("web"));
});

test("tasks on a node that is gone get no connections", { timeout: 300_000 }, async (t) => {
  const vip = await vipOf("web");
  const here = (await h1.type("docker ps -q --filter label=com.docker.swarm.service.name=web")).split("\n");
  const start = Date.now();
  await h2.type("ip link set eth0 down");
  await until(
    "all connections are served",
    async () => Object.keys(await count(h1, "one", vip, 20)).every((text) => !text.startsWith("error")),
    SWARM_MS,
  );
  t.diagnostic(`all connections are served ${Date.now() - start} ms after the cut`);
  await leadsTo(h1, "one", vip, here).catch(() => {});
  await h2.type("ip link set eth0 up");
  await meshed(hosts);
  await until(
    "four tasks run",
    async () => (await h1.type("docker service ps -q --filter desired-state=running web")).split("\n").length === 4,
    SWARM_MS,
  );
  await until("h2 is ready", async () => /h2 +Ready/.test(await h1.type("docker node ls")), SWARM_MS);
  await until(
    "they are reached from h2",
    async () => Object.keys(await count(h2, "two", vip, 20)).every((text) => !text.startsWith("error")),
    SWARM_MS,
  );
});

test("the rules end with the service and the network", { timeout: 120_000 }, async () => {
  await h1.type("docker service rm web");
  await tasksRun("web", 0);
  await h2.type("docker rm -f two");
  await h1.type("docker network disconnect -f weavenet1 one");
  await until("the rules are gone", async () => (await rulesIn(h1, "one")) === "");
  await until("the network is free", async () => (await h1.shell("docker network rm weavenet1")).code === 0, SWARM_MS);
});
