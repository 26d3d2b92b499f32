import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { ComposeProject, composeImpossible } from "#test/lab/compose.js";
import { DockerHost, makeImage, networkThere } from "#test/lab/docker-host.js";
import { PROXY_ENV } from "#test/lab/docker-tests.js";
import { Lab } from "#test/lab/lab.js";
import { PODMAN_TOOLS, PodmanHost, podmanLab, podmanTestsImpossible, ROOTLESS_TOOLS } from "#test/lab/podman-host.js";
import { connected, until } from "#test/lab/wait.js";

/** Podman beside Docker, its service that ends by itself, restart policies, and users without root's rights. */

const skip = podmanTestsImpossible() ?? false;
const skipCompose = skip || (composeImpossible(5) ?? false);
const skipRootless = skip || (podmanTestsImpossible([...PODMAN_TOOLS, ...ROOTLESS_TOOLS]) ?? false);

async function podman(t: TestContext): Promise<PodmanHost> {
  const lab = await podmanLab(1);
  t.after(() => lab.dispose());
  return lab.hosts[0];
}

const psOf = async (host: DockerHost): Promise<string[]> =>
  (await host.ok("ps")).split("\n").filter((line) => line !== "" && !line.startsWith("weave:expose"));

const hasNoNames = async (host: DockerHost): Promise<boolean> => (await host.ok("status", "dns")).trim() === "";

test("containers of a Docker host and of a Podman host reach each other by name", {
  skip,
  timeout: 240_000,
}, async (t) => {
  const lab = await Lab.createWith<DockerHost>(2, (options) =>
    options.name === "h1" ? new DockerHost(options) : new PodmanHost(options),
  );
  t.after(() => lab.dispose());
  const [docker, other] = lab.hosts;
  const archive = await makeImage(lab.folder);
  await Promise.all(lab.hosts.map((host) => host.boot(archive)));
  await other.startEngine();
  await docker.launch();
  await other.launch(docker.address);
  await connected(docker, 1);
  await networkThere(docker);
  await docker.type("docker run -d --network weave --name plugged busybox sleep 600");
  await docker.type(`${PROXY_ENV} docker run -d --name proxied busybox sleep 600`);
  await other.type(`${PROXY_ENV} docker run -d --cap-add NET_RAW --name podded busybox sleep 600`);
  for (const name of ["plugged", "proxied"])
    await until(`${name} is reached`, async () => {
      return (await other.shell(`podman exec --privileged podded ping -c 1 -W 2 ${name}`)).code === 0;
    });
  await until(
    "the other way",
    async () => (await docker.shell("docker exec proxied ping -c 1 -W 2 podded")).code === 0,
  );
});

test("the router keeps a service that ends when it is idle, and finds it again when it was ended", {
  skip,
  timeout: 240_000,
}, async (t) => {
  const host = await podman(t);
  await host.stopEngine();
  await host.launch("--docker-api", "unix:///run/podman/podman.sock");
  await until("the problem is shown", async () =>
    /Problem: Cannot connect to Podman's service at .*nothing answers there/.test(await host.ok("status")),
  );
  await host.startEngine("--time=2");
  await until("it is followed", async () => !/Problem/.test(await host.ok("status")));
  await host.type(`${PROXY_ENV} docker run -d --name web busybox sleep 600`);
  // Longer than the service waits for calls.
  await new Promise((resolve) => setTimeout(resolve, 6_000));
  assert.ok(await host.serviceAnswers());
  const [before] = await psOf(host);
  await host.stopEngine("KILL");
  await until("its end is seen", async () => /Problem/.test(await host.ok("status")));
  const refused = await host.shell(`${PROXY_ENV} docker ps`);
  assert.match(refused.stderr, /Podman's service/);
  // By the id of its process a container is found without the service.
  await host.type("weave attach 10.32.9.9/12 $(podman inspect -f '{{.State.Pid}}' web)");
  assert.ok((await psOf(host))[0].startsWith(before));
  await host.podman("run -d --name late busybox sleep 600");
  await host.podman("kill web");
  await host.startEngine("--time=2");
  await until("what ended meanwhile is gone", () => hasNoNames(host));
  await host.ok("attach", "late");
});

test("a container that is restarted by its policy has its address each time; with --rm it leaves nothing", {
  skip,
  timeout: 240_000,
}, async (t) => {
  const host = await podman(t);
  await host.launch();
  const show = "ip -4 -o address show ethwe";
  await host.type(`${PROXY_ENV} docker run -d --restart always --name again busybox sh -c '${show}; sleep 1'`);
  const logs = async () => (await host.podman("logs again")).split("\n");
  await until("it has been restarted", async () => (await logs()).length >= 3, 60_000);
  const addresses = (await logs()).map((line) => /inet (\S+)/.exec(line)?.[1]);
  assert.deepEqual([...new Set(addresses)], ["10.32.0.1/12"]);
  await host.podman("rm -f -t 0 again");
  await host.type(`${PROXY_ENV} docker run --rm --name once busybox ${show}`);
  await until("no name is left", () => hasNoNames(host));
  await until("no address is held", async () => /\(0 active\)/.test(await host.ok("status", "ipam")), 60_000);
});

test("services of Compose have names and addresses by the proxy", {
  skip: skipCompose,
  timeout: 240_000,
}, async (t) => {
  const host = await podman(t);
  await host.launch();
  const file = `services:
  web: { image: busybox, command: sleep 600, hostname: web, domainname: weave.local, network_mode: bridge }
  plain: { image: busybox, command: sleep 600, network_mode: bridge }
`;
  const project = new ComposeProject(host, 5, "shop", { file, before: PROXY_ENV });
  await project.type("up -d");
  await until("both have names", async () => {
    const names = await host.ok("status", "dns");
    return /^web +10\./m.test(names) && /^shop-plain-1 +10\./m.test(names);
  });
  const attached = await psOf(host);
  assert.equal(attached.length, 2);
  await project.type("up -d");
  assert.deepEqual(await psOf(host), attached, "unchanged");
  await project.type("down -t 0");
  await until("no name is left", () => hasNoNames(host));
});

test("containers of a user are attached by process id, and by name with the user's service", {
  skip: skipRootless,
  timeout: 240_000,
}, async (t) => {
  const host = await podman(t);
  const user = await makeUser(host);
  const id = await user("podman run -d --name mine --hostname mine.weave.local busybox sleep 600");
  await host.launch();
  const pid = await user("podman inspect -f '{{.State.Pid}}' mine");
  const address = (await host.ok("attach", pid)).trim();
  await host.ok("expose");
  await host.must("ping", "-c", "1", "-W", "5", address);
  await host.ok("detach", pid);
  await host.ok("stop");

  await user("(podman system service --time=0 > /dev/null 2>&1 &)");
  const socket = `/run/user/${await host.type("id -u user")}/podman/podman.sock`;
  await until("the user's service answers", async () => (await host.shell(`docker -H unix://${socket} ps`)).code === 0);
  await host.launch("--docker-api", `unix://${socket}`);
  await host.ok("attach", "mine");
  assert.match(await host.ok("status", "dns"), new RegExp(`^mine +10\\..* ${id.slice(0, 12)} `, "m"));
  const { code, stderr } = await host.shell(`${PROXY_ENV} docker run -d --name other busybox sleep 600`);
  assert.equal(code, 0, stderr);
  assert.match(stderr, /does not serve rootless Podman.*weave attach/);
  await user("podman kill mine");
  await until("its name is gone", () => hasNoNames(host));
});

/** Makes a user with Podman and the image `busybox`. Returns a function that runs a line of shell as this user. */
async function makeUser(host: PodmanHost): Promise<(line: string) => Promise<string>> {
  await host.type(`set -e
    useradd --create-home --home-dir /run/home user
    grep -q ^user: /etc/subuid || { echo user:300000:65536 >> /etc/subuid; echo user:300000:65536 >> /etc/subgid; }
    mkdir -p /run/user
    install -d -o user -m 700 /run/user/$(id -u user)
    # The machine's own may be root's alone.
    mknod /run/tun c 10 200; chmod 666 /run/tun; mount --bind /run/tun /dev/net/tun
    podman save -q --format docker-archive -o /run/busybox.tar busybox; chmod 644 /run/busybox.tar`);
  const enter =
    "cd /run/home; exec setpriv --reuid user --regid user --init-groups env HOME=/run/home XDG_RUNTIME_DIR=/run/user/$(id -u user)";
  const user = async (line: string) => (await host.must("sh", "-c", `${enter} sh -c "$1"`, "sh", line)).trim();
  await user("podman load -q -i /run/busybox.tar");
  return user;
}
