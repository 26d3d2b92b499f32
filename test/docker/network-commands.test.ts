import assert from "node:assert/strict";
import type { DockerHost } from "#test/lab/docker-host.js";
import { DEFAULT_SUBNET_FLAGS, dockerTests, launchAll, MESH_DRIVERS, PROXY_ENV } from "#test/lab/docker-tests.js";
import { engineAtLeast } from "#test/lab/engine.js";

/** What Docker's own commands show of weave's networks and their containers. */

let host: DockerHost;

const test = dockerTests(1, async (hosts) => {
  [host] = hosts;
  await launchAll(hosts, ...DEFAULT_SUBNET_FLAGS);
  await host.type(`docker network create ${MESH_DRIVERS} --subnet 10.43.0.0/16 --label tier=back second`);
  await host.type("docker run -d --name app --network weave --network-alias shop busybox top");
});

/** An end of a container, as `docker inspect` shows it. */
interface End {
  readonly IPAddress: string;
  readonly IPPrefixLen: number;
  readonly Gateway: string;
  readonly MacAddress: string;
}

const endOf = async (container: string, network: string): Promise<End> =>
  JSON.parse(
    await host.type(`docker inspect -f '{{json (index .NetworkSettings.Networks "${network}")}}' ${container}`),
  );

/** The MAC address that the driver derives from an address: 0a:57, then its octets. */
const macOf = (address: string): string =>
  ["0a", "57", ...address.split(".").map((octet) => Number(octet).toString(16).padStart(2, "0"))].join(":");

test("docker info lists the drivers that networks use; docker plugin ls lists none, as they are no managed plugins", async () => {
  assert.match(await host.type("docker info -f '{{json .Plugins.Network}}'"), /"weavemesh"/);
  assert.equal(await host.type("docker plugin ls -q"), "");
});

test("docker network ls and inspect show driver, IPAM, options and the container; ps filters by the network", async () => {
  assert.equal(
    await host.type("docker network ls --filter driver=weavemesh --format '{{.Name}} {{.Scope}}'"),
    "second local\nweave local",
  );
  assert.equal(await host.type("docker network ls -q --filter label=tier=back | wc -l"), "1");
  const [network] = JSON.parse(await host.type("docker network inspect weave"));
  assert.deepEqual(
    [network.Driver, network.IPAM.Driver, network.IPAM.Config, network.Options, network.Internal],
    ["weavemesh", "weavemesh", [{ Subnet: "10.32.0.0/16" }], { "works.weave.multicast": "true" }, false],
  );
  const [end] = Object.values(network.Containers) as { Name: string; IPv4Address: string; MacAddress: string }[];
  const { IPAddress, IPPrefixLen, Gateway, MacAddress } = await endOf("app", "weave");
  assert.deepEqual(
    [end.Name, end.IPv4Address, end.MacAddress],
    ["app", `${IPAddress}/${IPPrefixLen}`, macOf(IPAddress)],
  );
  assert.deepEqual([IPPrefixLen, Gateway, MacAddress], [16, "", macOf(IPAddress)]);
  assert.match(
    await host.type("docker exec app ip addr show ethwe0"),
    new RegExp(`ether ${MacAddress}[\\s\\S]*inet ${IPAddress}/16`),
  );
  assert.equal(await host.type("docker ps --filter network=weave --format '{{.Names}} {{.Networks}}'"), "app weave");
  assert.equal(await host.type("docker ps -q --filter network=second"), "");
});

for (const [by, before] of [
  ["plugin alone", ""],
  ["proxy", PROXY_ENV],
] as const)
  test(`docker network connect takes --ip and --alias of a running container, disconnect takes them back: ${by}`, async () => {
    const type = (line: string) => host.type(`${before} ${line}`);
    await type("docker network connect --ip 10.43.0.9 --alias back second app");
    const { IPAddress, MacAddress } = await endOf("app", "second");
    assert.deepEqual([IPAddress, MacAddress], ["10.43.0.9", "0a:57:0a:2b:00:09"]);
    assert.equal(await host.ok("dns-lookup", "back"), "10.43.0.9\n");
    assert.match(await type("docker run --rm --network second busybox ping -c 1 -W 5 back"), / 0% packet loss/);
    const taken = await host.shell(`${before} docker run --rm --network second --ip 10.43.0.9 busybox true`);
    assert.match(taken.stderr, /10\.43\.0\.9 already in use on this host, by a container/);
    assert.match((await host.shell(`${before} docker network rm second`)).stderr, /has active endpoints/);
    await type("docker network disconnect second app");
    assert.equal(await host.ok("dns-lookup", "back"), "");
    assert.equal(await type("docker ps -q --filter network=second"), "");
    assert.match(await type("docker exec app ip -o -4 addr"), /ethwe/);
    assert.doesNotMatch(await type("docker exec app ip -o -4 addr"), /10\.43\./);
  });

test("a container that was connected while it was stopped has its addresses when it starts", async () => {
  await host.type("docker create --name later --network weave busybox top");
  await host.type("docker network connect --ip 10.43.0.10 second later && docker start later");
  assert.match(await host.type("docker exec later ip -o -4 addr"), /inet 10\.43\.0\.10\/16/);
  assert.equal((await host.ok("dns-lookup", "later")).trim().split("\n").length, 2);
  await host.type("docker rm -f later");
});

test("--mac-address and an interface's sysctls are those of the user", async (t) => {
  if (!engineAtLeast(25)) return t.skip("the engine has no --mac-address for each network (from API 1.44 on)");
  const sysctl = "driver-opt=com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.log_martians=1";
  const ends = `--network "name=weave,mac-address=02:11:22:33:44:55,${sysctl}"`;
  const output = await host.type(
    `docker run --rm ${ends} busybox sh -c 'ip link show ethwe0; cat /proc/sys/net/ipv4/conf/ethwe0/log_martians'`,
  );
  assert.match(output, /ether 02:11:22:33:44:55[\s\S]*\n1$/);
});

test("docker events reports networks and their containers as it does for Docker's own networks", async () => {
  await host.type("docker network create plain");
  const eventsOf = async (network: string) => {
    const since = await host.type("date +%s.%N");
    await host.type(`docker network connect ${network} app && docker network disconnect ${network} app`);
    const flags = `--filter type=network --filter network=${network} --format '{{.Action}} {{.Actor.Attributes.type}}'`;
    return host.type(`docker events --since ${since} --until $(($(date +%s) + 1)) ${flags}`);
  };
  const expected = (await eventsOf("plain")).replaceAll("bridge", "weavemesh");
  assert.match(expected, /^connect weavemesh\ndisconnect weavemesh/);
  assert.equal(await eventsOf("second"), expected);
  await host.type("docker network rm plain");
});

test("docker network prune removes unused networks, and not those of containers", async () => {
  await host.type("docker network prune -f");
  assert.equal(
    await host.type("docker network ls --filter driver=weavemesh --format '{{.Name}}'"),
    "weave",
    "it has a container",
  );
});
