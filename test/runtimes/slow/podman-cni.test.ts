import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { DockerHost, makeImage, networkThere } from "#test/lab/docker-host.js";
import { Lab } from "#test/lab/lab.js";
import { PODMAN_CNI_TOOLS, PODMAN_TOOLS, PodmanHost, podmanTestsImpossible } from "#test/lab/podman-host.js";
import { connected, until } from "#test/lab/wait.js";

/** Podman with its backend of CNI: `podman run --network weave`. */

const skip = podmanTestsImpossible([...PODMAN_TOOLS, ...PODMAN_CNI_TOOLS]) ?? false;

/** Hosts with Podman and, as the last one, a host with Docker if `docker` is set. Each has a router and weave's CNI plugin. */
async function hosts(t: TestContext, count: number, docker = false): Promise<DockerHost[]> {
  const lab = await Lab.createWith<DockerHost>(count, (options) =>
    docker && options.name === `h${count}` ? new DockerHost(options) : new PodmanHost(options, "cni"),
  );
  t.after(() => lab.dispose());
  const archive = await makeImage(lab.folder);
  await Promise.all(lab.hosts.map((host) => host.boot(archive)));
  const [first, ...others] = lab.hosts;
  for (const host of lab.hosts) {
    if (host instanceof PodmanHost) await host.ok("setup-cni");
    await host.launch(...(host === first ? [] : [first.address]));
  }
  if (others.length > 0) await connected(first, others.length);
  return lab.hosts;
}

const podman = (host: DockerHost, line: string): Promise<string> => host.type(`podman ${line}`);

/** The lines of `weave ps` except the host's own: id, MAC, addresses. */
const psOf = async (host: DockerHost): Promise<string[]> =>
  (await host.ok("ps")).split("\n").filter((line) => line !== "" && !line.startsWith("weave:expose"));

const shortIdOf = async (host: DockerHost, name: string): Promise<string> =>
  (await podman(host, `inspect -f '{{.Id}}' ${name}`)).slice(0, 12);

const addressOf = (host: DockerHost, name: string): Promise<string> =>
  podman(host, `inspect -f '{{.NetworkSettings.Networks.weave.IPAddress}}' ${name}`);

const reaches = (host: DockerHost, container: string, target: string): Promise<void> =>
  until(`${container} reaches ${target}`, async () => {
    return (await host.shell(`podman exec --privileged ${container} ping -c 1 -W 2 ${target}`)).code === 0;
  });

test("containers of two Podman hosts and a Docker host reach each other by name", {
  skip,
  timeout: 300_000,
}, async (t) => {
  const [one, two, docker] = await hosts(t, 3, true);
  assert.match(await podman(one, "network ls"), /^\w+ +weave +weave-net$/m);
  await podman(one, "run -d --name aa --network weave $(weave dns-args) busybox sleep 600");
  await podman(two, "run -d --name bb --network weave $(weave dns-args) busybox sleep 600");
  await networkThere(docker);
  await docker.type("docker run -d --name cc --network weave $(weave dns-args) busybox sleep 600");
  for (const name of ["bb", "cc"]) await reaches(one, "aa", name);
  for (const name of ["aa", "cc"]) await reaches(two, "bb", name);
  for (const name of ["aa", "bb"])
    await until(
      `cc reaches ${name}`,
      async () => (await docker.shell(`docker exec cc ping -c 1 -W 2 ${name}`)).code === 0,
    );
  // Its only interface leads out of the overlay as well.
  await reaches(one, "aa", docker.address);
});

test("address, MAC, names and published ports that a user requests", { skip, timeout: 240_000 }, async (t) => {
  const [host] = await hosts(t, 1);
  await podman(
    host,
    "run -d --name web --network weave --ip 10.32.7.7 --mac-address 02:11:22:33:44:55 -p 8080:80 busybox httpd -f -p 80 -h /",
  );
  assert.deepEqual(await psOf(host), [`${await shortIdOf(host, "web")} 02:11:22:33:44:55 10.32.7.7/12`]);
  assert.equal(await addressOf(host, "web"), "10.32.7.7");
  assert.match(await host.type(`curl -s http://${host.address}:8080/etc/hostname`), /^[0-9a-f]{12}$/);
  assert.match(await host.ok("status", "dns"), /^web +10\.32\.7\.7 /m);
  await podman(host, "run -d --name db --network weave --network-alias store busybox sleep 600");
  assert.match(await host.ok("status", "dns"), /^store +10\./m);
  const refused = await host.shell("podman run --rm --network weave --ip 10.32.7.7 busybox true");
  assert.match(refused.stderr, /10\.32\.7\.7/);
  assert.equal((await psOf(host)).length, 2);
});

test("restarts, kills and removals release what they should; a pod is one attachment", {
  skip,
  timeout: 300_000,
}, async (t) => {
  const [host] = await hosts(t, 1);
  await podman(host, "run -d --name a --network weave busybox sleep 600");
  await podman(host, "restart -t 0 a");
  assert.deepEqual(
    (await psOf(host)).map((line) => line.split(" ")[0]),
    [await shortIdOf(host, "a")],
  );
  await podman(host, "kill a");
  await until("its interface and name are gone", async () => {
    return (await psOf(host)).length === 0 && (await host.ok("status", "dns")).trim() === "";
  });
  await podman(host, "start a");
  assert.equal((await psOf(host)).length, 1);
  await podman(host, "rm -f -t 0 a");

  await podman(host, "pod create --name shop --network weave");
  for (const name of ["one", "two"]) await podman(host, `run -d --pod shop --name ${name} busybox sleep 600`);
  const infra = (await podman(host, "pod inspect -f '{{.InfraContainerID}}' shop")).slice(0, 12);
  const [attached, ...more] = await psOf(host);
  assert.deepEqual([attached.split(" ")[0], more], [infra, []]);
  await podman(host, "restart -t 0 two");
  assert.deepEqual(await psOf(host), [attached]);
  await podman(host, "pod rm -f -t 0 shop");
  assert.deepEqual(await psOf(host), []);
  await until(
    "only the host's address is held",
    async () => /\(1 active\)/.test(await host.ok("status", "ipam")),
    60_000,
  );
});

test("a container has a second interface by podman network connect, and loses it", {
  skip,
  timeout: 240_000,
}, async (t) => {
  const [host] = await hosts(t, 1);
  await podman(host, "run -d --name a busybox sleep 600");
  await podman(host, "network connect weave a");
  const [line] = await psOf(host);
  const address = /10\.\S+/.exec(line)![0];
  assert.match(await podman(host, "exec a ip -4 -o address show dev eth1"), new RegExp(address.replaceAll(".", "\\.")));
  await podman(host, "network disconnect weave a");
  assert.deepEqual(await psOf(host), []);
  assert.doesNotMatch(await podman(host, "exec a ip -4 -o address"), /eth1/);
});

test("without a router a container does not start, and one that ends is released later", {
  skip,
  timeout: 300_000,
}, async (t) => {
  const [host] = await hosts(t, 1);
  await podman(host, "run -d --name a --network weave busybox sleep 600");
  await host.ok("stop");
  const { code, stderr } = await host.shell("podman run --rm --network weave busybox true");
  assert.notEqual(code, 0);
  assert.match(stderr, /the weave router does not run on this host.*weave launch/s);
  await podman(host, "rm -f -t 0 a");
  await host.launch();
  await until("its address is free", async () => /\(1 active\)/.test(await host.ok("status", "ipam")), 60_000);
  assert.deepEqual(await psOf(host), []);
  await podman(host, "run --rm --network weave busybox true");
});

test("after a boot containers have addresses again, and what did not start again is free", {
  skip,
  timeout: 300_000,
}, async (t) => {
  const [host] = await hosts(t, 1);
  assert.ok(host instanceof PodmanHost);
  for (const name of ["again", "lost"]) await podman(host, `run -d --name ${name} --network weave busybox sleep 600`);
  assert.match(await host.ok("status", "ipam"), /\(3 active\)/);
  await host.reboot();
  await host.launch();
  await podman(host, "start again");
  await until("it is attached", async () => (await psOf(host)).length === 1);
  await until("its name is the only one", async () => {
    const names = await host.ok("status", "dns");
    return /^again +10\./m.test(names) && !/^lost /m.test(names);
  });
  await until("the other address is free", async () => /\(2 active\)/.test(await host.ok("status", "ipam")), 60_000);
});
