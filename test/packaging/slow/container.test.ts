import assert from "node:assert/strict";
import type { DockerHost } from "#test/lab/docker-host.js";
import { dockerTests } from "#test/lab/docker-tests.js";
import { routerImage } from "#test/lab/router-image.js";
import { connected, until } from "#test/lab/wait.js";

/** The router as a container on one host, as a process on the other. */
let h1: DockerHost;
let h2: DockerHost;
/** Address of a namespace on the second host, and of the namespace `red` on the first. */
let peer: string;
let red: string;

const IMAGE = "weave:test";
const PASSWORD = "secret";
const SECOND = "10.99.0.2";

const launchContainer = (...args: string[]) => h1.launch("--image", IMAGE, "--password", PASSWORD, SECOND, ...args);
const stateOf = (container: string) => h1.type(`docker inspect -f '{{.State.Status}}' ${container}`);

const test = dockerTests(2, async (hosts, lab) => {
  [h1, h2] = hosts;
  const archive = await routerImage(lab.folder, IMAGE);
  await h1.docker("load", "-qi", archive);
  await h2.launch("--password", PASSWORD);
  await launchContainer();
  await connected(h1, 1);
  await h2.type("ip netns add blue");
  peer = (await h2.ok("attach", "netns:blue")).trim();
  await h1.type("ip netns add red");
  red = (await h1.ok("attach", "netns:red")).trim();
});

/** Attachments and targets: what a router must have again after each restart. */
async function works(): Promise<void> {
  await until("the router answers", async () => (await h1.weave("status")).code === 0, 30_000);
  await connected(h1, 1, 30_000);
  assert.match(await h1.ok("status", "targets"), new RegExp(`^${SECOND}`, "m"));
  const ping = async () => (await h1.shell(`ip netns exec red ping -c 1 -W 1 ${peer}`)).code === 0;
  await until("the other host is reached", ping);
}

// An engine waits for our plugin, which starts with the container, several times: docs/install.md.
test("a restart of the engine, and a boot, bring it back", { timeout: 200_000 }, async () => {
  await h1.stopEngine();
  await h1.startEngine();
  await works();
  await h1.stopEngine();
  await h1.type("umount -l /run/docker/netns/* ; rm -rf /run/weave /run/docker*; ip link delete weave");
  await h1.startEngine();
  await works();
});

test("weave restart uses a new image; one that does not start leaves the old router", {
  timeout: 120_000,
}, async () => {
  const image = () => h1.type("docker inspect -f '{{.Config.Image}} {{.Config.Labels}}' weave");
  await h1.type(`docker commit -c 'LABEL works.weave.version=99' weavedb ${IMAGE}-next`);
  await h1.ok("restart", "--image", `${IMAGE}-next`);
  assert.match(await image(), /^weave:test-next .*works\.weave\.version:99/);
  await works();
  await h1.type(`docker commit -c 'ENTRYPOINT ["false"]' weavedb ${IMAGE}-broken`);
  const { code, stderr } = await h1.weave("restart", "--image", `${IMAGE}-broken`);
  assert.equal(code, 1);
  assert.match(
    stderr,
    /the router of weave:test-broken does not start: .*\nThe router of weave:test-next runs again\.\n$/s,
  );
  assert.match(await image(), /^weave:test-next /);
  assert.equal(await h1.type("docker inspect -f '{{.HostConfig.RestartPolicy.Name}}' weave"), "always");
  await works();
  assert.equal(await h1.type("docker ps -a --format '{{.Names}}' | sort | tr '\\n' ' '"), "weave weavedb");
});

test("a stopped router stays stopped when the engine starts; the next launch has its addresses", {
  timeout: 180_000,
}, async () => {
  await h1.ok("stop");
  assert.equal(await stateOf("weave"), "exited");
  await h1.stopEngine();
  await h1.startEngine();
  assert.equal(await stateOf("weave"), "exited");
  assert.match((await h1.weave("status")).stderr, /^weave is not running\. Have you launched it\?/);
  await h1.type(`docker create --name weave-last --label works.weave.role=router ${IMAGE}`);
  await launchContainer("--no-restart");
  assert.equal(await h1.type("docker ps -aq --filter name=weave-last"), "", "what a restart may leave is removed");
  assert.equal(await h1.type("docker inspect -f '{{.HostConfig.RestartPolicy.Name}}' weave"), "no");
  assert.equal((await h1.ok("attach", "netns:red")).trim(), red);
  await works();
});

test("a full disk: launch names what could not be stored; with space it works again", {
  timeout: 180_000,
}, async () => {
  await h1.ok("stop");
  const folder = await h1.type("docker inspect -f '{{(index .Mounts 0).Source}}' weavedb");
  await h1.type(`mount -t tmpfs -o size=64k tmpfs ${folder} && ! cat /dev/zero >${folder}/all 2>/dev/null`);
  const { code, stderr } = await h1.weave("launch", "--image", IMAGE);
  assert.equal(code, 1);
  assert.match(
    stderr,
    /could not store the options of the launch in the volume of 'weavedb': .*no space left on device/,
  );
  await h1.type(`umount ${folder}`);
  await launchContainer();
  await works();
});

test("a backup brings the addresses back after the loss of the data container", { timeout: 180_000 }, async () => {
  const file = `${h1.folder}/backup`;
  await h1.ok("backup", file);
  await h1.ok("stop");
  await h1.type("docker rm weave && docker rm -v weavedb");
  await launchContainer();
  const { code, stderr } = await h1.weave("restore", file);
  assert.equal(code, 3, "a running router keeps its database");
  assert.match(stderr, /weave stop/);
  await h1.ok("stop");
  await h1.ok("restore", file);
  await launchContainer();
  assert.equal((await h1.ok("attach", "netns:red")).trim(), red);
  await works();
});

test("docker rm -v weavedb forgets the state", { timeout: 180_000 }, async () => {
  const secret = () => h1.type("docker inspect -f '{{(index .Mounts 0).Source}}' weavedb");
  const first = await secret();
  await h1.ok("stop");
  await h1.type("docker rm weave && docker rm -v weavedb");
  assert.equal(await h1.type("docker volume ls -q"), "");
  await launchContainer();
  assert.notEqual(await secret(), first);
});
