import assert from "node:assert/strict";
import type { DockerHost } from "#test/lab/docker-host.js";
import { dockerTests, launchAll, MESH_DRIVERS, PROXY_ENV } from "#test/lab/docker-tests.js";
import { connected, until } from "#test/lab/wait.js";

let h1: DockerHost;
let h2: DockerHost;

const test = dockerTests(2, async (hosts) => {
  [h1, h2] = hosts;
  await launchAll(hosts);
  await h2.type("docker run -d --name peer --stop-signal KILL --network weave busybox sleep 6000");
});

const stateOf = (host: DockerHost, container: string) =>
  host.type(`docker inspect -f '{{.State.Status}}' ${container}`);

/** Waits until a container runs, has its name, and is reachable from the other host. */
async function works(name: string): Promise<void> {
  await until(`${name} runs`, async () => (await stateOf(h1, name)) === "running", 40_000);
  await until(
    `${name} is reached by its name from the other host`,
    async () => {
      const address = (await h2.shell(`weave dns-lookup ${name}`)).stdout.trim();
      return address !== "" && (await h2.shell(`docker exec peer ping -c 1 -W 1 ${address}`)).code === 0;
    },
    30_000,
  );
}

async function relaunch(): Promise<void> {
  await h1.launch("10.99.0.2");
  await connected(h1, 1);
}

/** Everything that containers could leave behind: links, held addresses, names. */
async function traces(): Promise<string> {
  const links = await h1.type("ip -o link | sed 's/^[0-9]*: //; s/@.*//; s/:.*//' | grep vethw | sort");
  const owned = (await h1.api("GET", "/ip")).body;
  const names = await h1.ok("status", "dns");
  return JSON.stringify({ links, owned: JSON.parse(owned), names: names.split("\n").sort() });
}

let atFirst: string;

test("100 containers come and go in a /27", { timeout: 240_000 }, async () => {
  await h1.type(`docker network create ${MESH_DRIVERS} --subnet 10.33.0.0/27 small`);
  atFirst = await traces();
  const run = (i: number) => {
    const line = "docker run --rm busybox true".replace(
      "run",
      i % 2 === 0 ? "run --network small" : "run -e WEAVE_CIDR=net:10.34.0.0/27",
    );
    return h1.type(i % 2 === 0 ? line : `${PROXY_ENV} ${line}`);
  };
  for (let i = 0; i < 100; i += 4) await Promise.all([run(i), run(i + 1), run(i + 2), run(i + 3)]);
  await h1.type("docker network rm small");
});

/** Addresses of the two containers that come back. */
let first: string;
const addresses = async () => `${await h1.ok("dns-lookup", "plug")}${await h1.ok("dns-lookup", "prox")}`;

/** Waits until both kinds of containers work: of the plugin, and of the proxy. */
async function bothWork(): Promise<void> {
  await works("plug");
  await works("prox");
}

test("containers of the plugin and of the proxy start", { timeout: 180_000 }, async () => {
  await h1.type("docker run -d --name plug --restart always --stop-signal KILL --network weave busybox sleep 6000");
  await h1.type(`${PROXY_ENV} docker run -d --name prox --restart always --stop-signal KILL busybox sleep 6000`);
  await bothWork();
  first = await addresses();
});

test("both come back after docker restart, without the proxy", { timeout: 120_000 }, async () => {
  await h1.type("docker restart -t 0 plug prox");
  await bothWork();
  assert.equal(await addresses(), first, "the addresses stay");
});

test("both come back after the router is killed", { timeout: 120_000 }, async () => {
  await h1.killRouter();
  await bothWork();
  assert.equal(await addresses(), first);
});

test("both come back after the router is stopped and launched", { timeout: 120_000 }, async () => {
  const stopped = await h1.weave("stop");
  assert.match(stopped.stderr, /still attached to network "weave":\n {2}plug\n/);
  assert.equal(
    (await h1.shell("ls /run/docker/plugins/*.sock /run/weave/weave.sock")).stdout,
    "",
    "the sockets are gone",
  );
  await relaunch();
  await bothWork();
  assert.equal(await addresses(), first);
});

test("the end of a container while the router was stopped is detected", { timeout: 120_000 }, async () => {
  await h1.type(`${PROXY_ENV} docker run -d --name brief busybox sleep 6000`);
  await until("it has a name", async () => (await h2.ok("dns-lookup", "brief")) !== "");
  await h1.weave("stop");
  await h1.type("docker rm -f brief");
  await relaunch();
  await until("its name is gone", async () => (await h2.ok("dns-lookup", "brief")) === "");
  await bothWork();
});

test("both come back after the engine is stopped and started", { timeout: 120_000 }, async () => {
  await h1.stopEngine("TERM");
  await h1.startEngine();
  await bothWork();
});

test("both come back after the engine is killed and started", { timeout: 120_000 }, async () => {
  await h1.stopEngine("KILL");
  await h1.startEngine();
  await bothWork();
});

test("both come back after a reboot: engine and router stopped, the engine started first", {
  timeout: 120_000,
}, async () => {
  await h1.stopEngine("TERM");
  await h1.weave("stop");
  await h1.startEngine();
  await relaunch();
  await bothWork();
});

test("both come back when the router starts before the engine", { timeout: 120_000 }, async () => {
  await h1.stopEngine("TERM");
  await h1.weave("stop");
  await relaunch();
  await h1.startEngine();
  await bothWork();
  const rights = (socket: string) => h1.type(`stat -c '%a %u %g' ${socket}`);
  assert.equal(await rights("/run/weave/weave.sock"), await rights("/run/docker.sock"));
});

test("both come back after the engine is killed without a router", { timeout: 120_000 }, async () => {
  await h1.weave("stop");
  await h1.stopEngine("KILL");
  await relaunch();
  await h1.startEngine();
  await bothWork();
});

test("nothing is left of containers that are removed", { timeout: 180_000 }, async () => {
  await h1.type("docker rm -f plug prox");
  // Addresses of containers that the proxy attached are kept for 30 s, so that a restarted one has the same.
  await until("nothing is left of them, nor of the 100", async () => (await traces()) === atFirst, 45_000);
});

test("weave reset removes everything that concerns Docker", { timeout: 180_000 }, async () => {
  await h1.ok("reset");
  assert.equal((await h1.shell("nft list ruleset | grep -ci weave")).stdout, "0\n");
  assert.equal((await h1.shell("iptables-save | grep -ci weave")).stdout, "0\n");
  assert.equal((await h1.shell("ip -o link | grep -c vethw")).stdout, "0\n");
  assert.equal((await h1.shell("ls /var/lib/weave /run/docker/plugins/*.sock")).stdout, "");
  assert.doesNotMatch(await h1.type("docker network ls --format '{{.Name}}'"), /weave/);
});
