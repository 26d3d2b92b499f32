import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test as anyTest } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { DockerHost } from "#test/lab/docker-host.js";
import { type DockerTest, dockerTests } from "#test/lab/docker-tests.js";
import type { Lab } from "#test/lab/lab.js";
import { execute } from "#test/lab/namespace.js";
import { pluginFolder } from "#test/lab/plugin-folder.js";
import { programMissing } from "#test/lab/requirements.js";
import { connected, until } from "#test/lab/wait.js";

/** Nodes of a swarm with the managed plugin, which they install from a registry of the lab. */

/** The registry is on the first host; that host's engine accepts it without TLS. */
const REGISTRY_PORT = 5_000;
const LOCAL = `127.0.0.1:${REGISTRY_PORT}`;
/** Name of the plugin in Docker's store. */
export const PLUGIN = "store/weaveworks/net-plugin";
export const PLUGIN_2_5_2 = `${PLUGIN}:2.5.2`;
/** Limit for a start of the router, and for the gossip of the swarm's nodes. */
export const SWARM_MS = 90_000;
/** Limit for the creation, the push and the installation of a plugin. */
const PLUGIN_MS = 300_000;
/** Interval between looks at all containers of a service. */
const LOOK_MS = 500;
/** `docker service create` for tests: no registry has the image, and its processes ignore SIGTERM. */
export const SERVICE = "docker service create --detach --no-resolve-image --stop-grace-period 1s";

/** Starts a registry on the first host, and uses it on all hosts for what is Docker's own registry otherwise. */
async function serveRegistry(hosts: readonly DockerHost[], folder: string): Promise<void> {
  const [first] = hosts;
  const config = join(folder, "registry.yml");
  const storage = `storage: {filesystem: {rootdirectory: ${join(folder, "registry")}}}`;
  writeFileSync(config, `version: 0.1\nlog: {level: error}\n${storage}\nhttp: {addr: ":${REGISTRY_PORT}"}\n`);
  await first.type(`setsid docker-registry serve ${config} >${folder}/registry.log 2>&1 </dev/null &`);
  await until("the registry answers", async () => (await first.shell(`curl -fs http://${LOCAL}/v2/`)).code === 0);
  await Promise.all(
    hosts.map(async (host) => {
      await host.stopEngine();
      await host.startEngine(...mirror());
    }),
  );
}

/** Flags of an engine that uses the lab's registry. */
export const mirror = (): string[] => ["--registry-mirror", `http://10.99.0.1:${REGISTRY_PORT}`];

/** A line of shell that packs or unpacks a plugin of 120 MB: on a loaded machine for longer than others may take. */
export async function typePatiently(host: DockerHost, line: string): Promise<string> {
  const [file, ...args] = host.command("bash", "--norc", "-c", line);
  const { code, stdout, stderr } = await execute(file, args, host.environment, PLUGIN_MS);
  if (code !== 0) throw new Error(`${host.name}$ ${line}: ${stderr || stdout || `exit status ${code}`}`);
  return stdout.trim();
}

/** Creates a plugin on the first host, and moves it to the registry. @param folder as of `docker plugin create` */
export async function publish(first: DockerHost, folder: string, version: string): Promise<void> {
  const name = `${LOCAL}/${PLUGIN}:${version}`;
  for (const step of [`create ${name} ${folder}`, `push ${name}`, `rm ${name}`])
    await typePatiently(first, `docker plugin ${step}`);
}

/** Makes the first host a swarm's manager, and the others its workers. */
export async function makeSwarm([first, ...others]: readonly DockerHost[]): Promise<void> {
  await first.type(`docker swarm init --advertise-addr ${first.address}`);
  for (const host of others) await joinSwarm(host, first);
}

export async function joinSwarm(host: DockerHost, manager: DockerHost): Promise<void> {
  const token = await manager.type("docker swarm join-token -q worker");
  await host.type(`docker swarm join --token ${token} ${manager.address}:2377`);
}

/** Waits until the routers of all hosts are connected to one another. */
export async function meshed(hosts: readonly DockerHost[]): Promise<void> {
  for (const host of hosts) await connected(host, hosts.length - 1, SWARM_MS);
}

/**
 * As {@link dockerTests}, on hosts that can install the plugin from a registry.
 *
 * @param prepare runs before the first test, with the folder from which the plugin 2.5.2 in the registry was made
 */
export function registryTests(
  count: number,
  prepare: (hosts: readonly DockerHost[], folder: string) => Promise<void>,
): DockerTest {
  const skip = programMissing("docker-registry", "docker-registry");
  if (skip !== undefined) return (name: string) => void anyTest(name, { skip });
  return dockerTests(count, async (hosts, lab: Lab<DockerHost>) => {
    const folder = pluginFolder(lab.folder);
    await serveRegistry(hosts, lab.folder);
    await publish(hosts[0], folder, "2.5.2");
    await prepare(hosts, folder);
  });
}

/** Installs the plugin on all hosts and makes a swarm of them. */
export async function installedSwarm(hosts: readonly DockerHost[]): Promise<void> {
  for (const host of hosts)
    await typePatiently(host, `docker plugin install --grant-all-permissions ${PLUGIN_2_5_2} WEAVE_PASSWORD=secret`);
  await makeSwarm(hosts);
  await meshed(hosts);
}

/** A running container of a service, as its node shows it. */
interface Task {
  readonly host: DockerHost;
  readonly container: string;
  readonly address: string;
}

/** Containers of a service that run on the hosts. An engine that is down shows none. */
export async function tasksOf(hosts: readonly DockerHost[], service: string, network: string): Promise<Task[]> {
  const format = `{{.Id}} {{(index .NetworkSettings.Networks "${network}").IPAddress}}`;
  const found = await Promise.all(
    hosts.map(async (host) => {
      const list = `docker ps -q --filter label=com.docker.swarm.service.name=${service}`;
      const { stdout } = await host.shell(`${list} | xargs -r docker inspect -f '${format}'`);
      const lines = stdout.split("\n").filter((line) => line !== "");
      return lines.map((line) => ({ host, container: line.split(" ")[0], address: line.split(" ")[1] }));
    }),
  );
  return found.flat();
}

/** Addresses that a container's name server returns for a name, sorted. */
export async function resolved(host: DockerHost, container: string, name: string): Promise<string[]> {
  const { stdout } = await host.shell(`docker exec ${container} nslookup -type=a ${name}. 127.0.0.11`);
  const answers = stdout.slice(stdout.indexOf("Name:"));
  return stdout.includes("Name:") ? [...new Set(answers.match(/\d+\.\d+\.\d+\.\d+/g) ?? [])].sort() : [];
}

/**
 * What is wrong with a service that has settled: names and addresses at all of its containers, and the interfaces on all bridges.
 *
 * @returns "" when all is right
 */
async function serviceFaults(
  hosts: readonly DockerHost[],
  { service, network, replicas }: { readonly service: string; readonly network: string; readonly replicas: number },
): Promise<string> {
  const tasks = await tasksOf(hosts, service, network);
  const addresses = tasks.map(({ address }) => address).sort();
  if (addresses.length !== replicas) return `${addresses.length} tasks run instead of ${replicas}`;
  if (new Set(addresses).size !== replicas) return `an address is in use twice: ${addresses}`;
  for (const { host, container } of tasks) {
    const names = await resolved(host, container, `tasks.${service}`);
    if (String(names) !== String(addresses)) return `${host.name} resolves ${names} instead of ${addresses}`;
  }
  for (const host of hosts) {
    const ports = (await host.type("ls /sys/class/net/weave/brif")).split("\n").filter((name) => /^vethwl/.test(name));
    const on = (await host.ok("ps")).split("\n").filter((line) => /^[0-9a-f]{12} /.test(line));
    const running = (await host.type("docker ps -q")).split("\n").filter((id) => id !== "");
    if (ports.length !== on.length) return `${host.name}: ${ports.length} interfaces for ${on.length} containers`;
    const stale = on.filter((line) => !running.includes(line.slice(0, 12)));
    if (stale.length > 0) return `${host.name}: weave ps shows ended containers: ${stale}`;
  }
  return "";
}

/** Waits until {@link serviceFaults} finds none. @returns the time that it took, in ms */
export async function settled(
  hosts: readonly DockerHost[],
  expected: { readonly service: string; readonly network: string; readonly replicas: number },
): Promise<number> {
  const start = Date.now();
  let faults = "";
  const right = async () => {
    faults = await serviceFaults(hosts, expected);
    // Each look takes a process in each container.
    if (faults !== "") await sleep(LOOK_MS);
    return faults === "";
  };
  await until("the service settles", right, SWARM_MS).catch(() =>
    assert.fail(`after ${SWARM_MS / 1_000} s: ${faults}`),
  );
  return Date.now() - start;
}

/** Waits until a container reaches a name or an address. */
export const reaches = (host: DockerHost, container: string, name: string): Promise<void> =>
  until(
    `${container.slice(0, 12)} on ${host.name} reaches ${name}`,
    async () => (await host.shell(`docker exec ${container} ping -c 1 -W 1 ${name}`)).code === 0,
    SWARM_MS,
  );

/** Waits until no host has a network of this name. */
export const networkGone = (hosts: readonly DockerHost[], network: string): Promise<void> =>
  until(
    `the network ${network} is gone`,
    async () => {
      const lists = await Promise.all(hosts.map((host) => host.type("docker network ls --format '{{.Name}}'")));
      return !lists.some((list) => list.split("\n").includes(network));
    },
    SWARM_MS,
  );

/** A loss of power, and a boot without an engine yet: no process says farewell; only the disk remains. */
export async function powerCycle(host: DockerHost, whileOff: () => Promise<void>): Promise<void> {
  const device = await host.type(`ip -o -4 address show to ${host.address} | awk '{ print $2 }'`);
  await host.type(`ip link set ${device} down`);
  await host.stopEngine("KILL");
  // The first process ends with its only child, and the host with it.
  await host.shell(
    "kill -KILL $(ps -e -o pid=,args= | grep -v 'sleep infinity' | awk -v me=$$ '$1 != 1 && $1 != me { print $1 }')",
  );
  await whileOff();
  await host.type(
    [
      `awk '$2 ~ "^/(run|var/run|var/lib)/docker/" { print $2 }' /proc/mounts | tac | xargs -r umount -l`,
      "rm -rf /run/docker* /run/weave /run/containerd",
      "for bridge in $(ip -o link show type bridge | cut -d : -f 2); do ip link delete $bridge; done",
      "nft flush ruleset",
      `ip link set ${device} up`,
    ].join("\n"),
  );
}
