import assert from "node:assert/strict";
import type { DockerHost } from "#test/lab/docker-host.js";
import {
  addressOf,
  DEFAULT_SUBNET_FLAGS,
  dockerTests,
  launchAll,
  MESH_DRIVERS as MESH,
  refused,
} from "#test/lab/docker-tests.js";
import { engineAtLeast } from "#test/lab/engine.js";
import { connected, until } from "#test/lab/wait.js";

let h1: DockerHost;
let h2: DockerHost;

const test = dockerTests(2, async (hosts) => {
  [h1, h2] = hosts;
  await launchAll(hosts, ...DEFAULT_SUBNET_FLAGS);
});
/** On every host, one after the other. */
async function everywhere(line: string): Promise<void> {
  for (const host of [h1, h2]) await host.type(line);
}

test("containers on the network weave of two hosts reach one another by address and name", async () => {
  await h1.type(
    "docker run -d --name web --hostname www.weave.local --network weave --network-alias shop busybox sleep 600",
  );
  const address = await addressOf(h1, "web");
  assert.match(address, /^10\.32\./);
  for (const name of [address, "web", "www", "shop"]) {
    const output = await h2.type(`docker run --rm --network weave $(weave dns-args) busybox ping -c 1 -W 5 ${name}`);
    assert.match(output, new RegExp(`PING ${name} \\(${address}\\)`));
  }
  // Docker adds a default route through its own bridge; the plugin adds a route for multicast.
  const routes = await h1.type("docker exec web ip route");
  assert.match(routes, /224\.0\.0\.0\/4 dev ethwe0/);
  assert.match(routes, /default via 172\.\d+\.0\.1 dev eth0/);
  assert.match(await h1.type("weave ps web"), new RegExp(`^web 0a:57:[0-9a-f:]{11} ${address}/16$`));
  await h1.type("docker rename web store");
  await until("its new name is known there", async () => (await h2.ok("dns-lookup", "store")) === `${address}\n`);
  assert.equal(await h2.ok("dns-lookup", "web"), "");
  await h1.type("docker rm -f store");
  await until("its names are gone everywhere", async () => (await h2.ok("status", "dns")) === "");
});

test("networks have the subnet, range, gateway, options and addresses that the user chooses", async () => {
  await h1.type(
    `docker network create ${MESH} --subnet 10.40.0.0/16 --ip-range 10.40.7.0/24 --gateway 10.40.0.9 specifics`,
  );
  assert.deepEqual(JSON.parse(await h1.type("docker network inspect -f '{{json .IPAM.Config}}' specifics")), [
    { Subnet: "10.40.0.0/16", IPRange: "10.40.7.0/24", Gateway: "10.40.0.9" },
  ]);
  await h1.type("docker run -d --name ranged --network specifics busybox sleep 600");
  assert.match(await addressOf(h1, "ranged", "specifics"), /^10\.40\.7\./);
  await h1.type("docker run -d --name chosen --network specifics --ip 10.40.200.1 busybox sleep 600");
  assert.equal(await addressOf(h1, "chosen", "specifics"), "10.40.200.1");
  assert.doesNotMatch(await h1.type("docker exec chosen ip route"), /224\.0\.0\.0/, "multicast is off by default");

  const again = "docker run --rm --network specifics --ip 10.40.200.1 busybox true";
  assert.match(await refused(h1, again), /10\.40\.200\.1 already in use/);
  // Also for an address that another host uses on the same network.
  await h2.type(`docker network create ${MESH} --subnet 10.40.0.0/16 specifics`);
  assert.match(await refused(h2, again), /10\.40\.200\.1 is owned by other peer/);

  await h1.type(`docker network create ${MESH} --subnet 10.41.0.0/16 --opt works.weave.multicast= --internal closed`);
  await h1.type("docker run -d --name inside --network closed busybox sleep 600");
  const routes = await h1.type("docker exec inside ip route");
  assert.match(routes, /224\.0\.0\.0\/4 dev ethwe0/);
  assert.doesNotMatch(routes, /default/, "an internal network has no way out");

  const odd = `docker network create ${MESH} --opt works.weave.multicast=perhaps --subnet 10.42.0.0/16 odd`;
  assert.match(await refused(h1, odd), /unrecognized value "perhaps" for option works\.weave\.multicast/);

  await h1.type("docker rm -f ranged chosen inside && docker network rm specifics closed");
  await h2.type("docker network rm specifics");
});

test("docker network connect and disconnect change a running container", async () => {
  await everywhere("docker network create --driver weave --ipam-driver weavemesh --subnet 10.43.0.0/16 second");
  await h1.type("docker run -d --name two --network weave busybox sleep 600");
  await h1.type("docker network connect --alias other second two");
  const [first, second] = [await addressOf(h1, "two"), await addressOf(h1, "two", "second")];
  assert.match(second, /^10\.43\./);
  await until(
    "both addresses have its name",
    async () => (await h2.ok("dns-lookup", "two")).trim().split("\n").sort().join() === [first, second].sort().join(),
  );
  assert.equal(await h2.ok("dns-lookup", "other"), `${second}\n`);
  await h2.type(`docker run --rm --network second busybox ping -c 1 -W 5 ${second}`);
  assert.equal((await h1.type("weave ps two")).split("\n").length, 2);
  await h1.type("docker network disconnect second two");
  await until("one address has its name", async () => (await h2.ok("dns-lookup", "two")) === `${first}\n`);
  assert.equal(await h2.ok("dns-lookup", "other"), "");
  assert.match(await h1.type("docker exec two ip addr"), /ethwe0/);
  await h1.type("docker rm -f two");
  await everywhere("docker network rm second");
});

test("a duplicate of an address that Docker chose on another host is refused, naming the host", async () => {
  await everywhere("docker network create --driver weave --subnet 192.168.77.0/24 mynet");
  await h1.type("docker run -d --name one --network=mynet busybox top");
  const first = await addressOf(h1, "one", "mynet");
  // Engines since 28 ask the driver whether the network needs a gateway; older ones reserve the first address for one.
  assert.equal(first, engineAtLeast(28) ? "192.168.77.1" : "192.168.77.2");
  const why = await refused(h2, "docker run --rm --network=mynet busybox true");
  assert.ok(why.includes(`${first} is in use on another host, 02:00:00:00:00:01(h1)`), why);
  assert.match(why, /--ipam-driver weavemesh/);
  const output = await h2.type(`docker run --rm --network=mynet --ip 192.168.77.9 busybox ping -c 1 -W 5 ${first}`);
  assert.match(output, /1 packets received/);
  await h1.type("docker rm -f one");
  await until(
    "it is free for the other host",
    async () => (await h2.shell("docker run --rm --network=mynet busybox true")).code === 0,
  );
  await everywhere("docker network rm mynet");
});

test("of two hosts that claim one address at the same time one gets it", async () => {
  await everywhere("docker network create --driver weave --subnet 192.168.78.0/24 race");
  for (let round = 0; round < 5; round++) {
    const results = await Promise.all(
      [h1, h2].map((host) => host.shell(`docker run -d --name r${round} --network race busybox sleep 600`)),
    );
    assert.deepEqual(results.map(({ code }) => code === 0).sort(), [false, true], JSON.stringify(results));
    await everywhere(`docker rm -f r${round}`);
    await until("the address is free", async () => (await h1.report("{{json .Docker.Contested}}")) === "[]");
  }
  await everywhere("docker network rm race");
});

test("a default pool that overlaps a route of the host is refused: Docker would repeat its request", async () => {
  await h1.ok("expose");
  const began = Date.now();
  const why = await refused(h1, `docker network create ${MESH} loop`);
  assert.match(why, /10\.32\.0\.0\/16 overlaps the route 10\.32\.0\.0\/16 .*--subnet 10\.32\.0\.0\/16/);
  assert.ok(Date.now() - began < 10_000);
  await h1.type(`docker network create ${MESH} --subnet 10.32.0.0/16 loop && docker network rm loop`);
  await h1.ok("hide");
  // A name server in the range is no route, but Docker repeats its request for it too.
  await h1.type("echo nameserver 10.32.0.53 > /etc/resolv.conf");
  assert.match(await refused(h1, `docker network create ${MESH} loop`), /overlaps this host's routes or name servers/);
});

test("published ports work; the control API and peers' ports are closed to containers", async () => {
  const answer = "'while true; do echo hello | nc -l -p 80; done'";
  await h1.type(`docker run -d --name server -p 8080:80 --network weave busybox sh -c ${answer}`);
  await until("the published port answers", async () =>
    (await h2.shell("busybox nc -w 2 10.99.0.1 8080 < /dev/null")).stdout.includes("hello"),
  );
  await h1.type("docker rm -f server");
  const reach = async (port: number) =>
    (await h1.shell(`docker run --rm busybox sh -c 'nc -w 2 172.17.0.1 ${port} </dev/null'`)).code === 0;
  assert.deepEqual([await reach(6783), await reach(6784)], [false, false]);
  assert.ok(await reach(53), "weaveDNS they do reach");
  // The overlay is unreachable from plain Docker's bridge, and reachable from an exposed host.
  await h1.type("docker run -d --name target --network weave busybox sleep 600");
  const address = await addressOf(h1, "target");
  await h1.ok("expose");
  await h1.type(`ping -c 1 -W 2 ${address}`);
  assert.notEqual((await h1.shell(`docker run --rm busybox ping -c 1 -W 1 ${address}`)).code, 0);
  await h1.ok("hide");
  await h1.type("docker rm -f target");
});

test("a network that is pruned is created again, but not by a router that stops", { timeout: 120_000 }, async () => {
  const id = async () => (await h1.shell("docker network inspect -f '{{.Id}}' weave")).stdout.trim();
  for (const remove of ["docker network prune -f", "docker network rm weave"]) {
    const before = await id();
    assert.notEqual(before, "");
    await h1.type(remove);
    await until(`the network is there again after '${remove}'`, async () => !["", before].includes(await id()), 30_000);
    await h1.type("docker run --rm --network weave busybox true");
  }
  await h1.ok("stop");
  assert.equal(await id(), "");
  await h1.launch("10.99.0.2");
  await until("a launch makes it", async () => (await id()) !== "", 30_000);
  await connected(h1, 1);
});

test("flushed firewall rules are restored", { timeout: 180_000 }, async () => {
  await h1.type("nft delete table inet weave && iptables -D FORWARD -j WEAVE-EXPOSE");
  await until("the table is there", async () => (await h1.shell("nft list table inet weave")).code === 0, 30_000);
  await until("the jump is there", async () => (await h1.shell("iptables -C FORWARD -j WEAVE-EXPOSE")).code === 0);
});
