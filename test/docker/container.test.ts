import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { VERSION } from "#src/version.js";
import type { DockerHost } from "#test/lab/docker-host.js";
import { dockerTests, PROXY_ENV } from "#test/lab/docker-tests.js";
import { routerImage } from "#test/lab/router-image.js";
import { connected, until } from "#test/lab/wait.js";

/** The router as a container on one host, as a process on the other. */
let h1: DockerHost;
let h2: DockerHost;
/** Everything on the first host that weave could leave behind, before the first launch. */
let before: string;

const IMAGE = "weave:test";
const PASSWORD = "not-for-inspect";
const SECOND = "10.99.0.2";

const test = dockerTests(2, async (hosts, lab) => {
  [h1, h2] = hosts;
  const archive = await routerImage(lab.folder, IMAGE);
  await h1.docker("load", "-qi", archive);
  await h2.launch("--password", PASSWORD);
  // Engines since 28 make iptables' table raw for their first container.
  await h1.type("docker run --rm busybox true");
  before = await traces(h1);
});

/** Links, firewall, containers, volumes and files of a host. Docker makes `docker_gwbridge` for a network such as ours, and keeps it. */
function traces(host: DockerHost): Promise<string> {
  return host.type(
    `${[
      "ip -o link | sed 's/^[0-9]*: //; s/[:@].*//' | grep -v gwbridge | sort",
      "nft list tables",
      "iptables -S | grep WEAVE",
      "docker ps -aq",
      "docker volume ls -q",
      "docker network ls --format '{{.Name}}' | grep -v gwbridge",
      "ls -d /run/weave /var/lib/weave /var/log/weave /run/docker/plugins/weave*",
    ].join("; ")}; true`,
  );
}

/** Attachments and targets: what a router must have again after each restart. */
async function works(): Promise<void> {
  await until("the router answers", async () => (await h1.weave("status")).code === 0, 30_000);
  await connected(h1, 1, 30_000);
  assert.match(await h1.ok("status", "targets"), new RegExp(`^${SECOND}`, "m"));
  await until(
    "the other host is reached",
    async () => (await h1.shell(`ip netns exec red ping -c 1 -W 1 ${peer}`)).code === 0,
  );
}

/** Address of a container on the other host. */
let peer: string;
/** Address of the namespace `red` on the host whose router is a container. */
let red: string;

test("launch starts the router in a container, and prints its id alone", { timeout: 180_000 }, async () => {
  const { code, stdout, stderr } = await h1.weave(
    ...["launch", "--image", IMAGE, "--name", h1.peerName, "--password", PASSWORD, SECOND],
  );
  assert.deepEqual([code, stderr], [0, ""]);
  assert.equal(stdout.trim(), await h1.type("docker inspect -f '{{.Id}}' weave"));
  assert.equal(await h1.type("docker inspect -f '{{.HostConfig.RestartPolicy.Name}}' weave"), "always");
  assert.match(await h1.type("docker logs weave"), /"msg":"router started"/);
  assert.equal(await h1.ok("version"), `weave command ${VERSION}\nweave ${VERSION}\n`);
  await connected(h1, 1);
});

test("inspect shows no option of the launch; only root reads the file with them", async () => {
  const shown = await h1.type("docker inspect weave weavedb");
  assert.doesNotMatch(shown, new RegExp(`${PASSWORD}|${SECOND}`));
  const folder = await h1.type("docker inspect -f '{{(index .Mounts 0).Source}}' weavedb");
  assert.equal(await h1.type(`cd ${folder}; stat -c '%a %n' launch-options.json`), "600 launch-options.json");
});

test("names of containers that are taken: texts and statuses as in Weave Net", async () => {
  const again = () => h1.weave("launch", "--image", IMAGE);
  const free = "you can stop it with 'weave stop'.\n";
  assert.deepEqual(await again(), { code: 3, stdout: "", stderr: `weave is already running; ${free}` });
  await h1.docker("pause", "weave");
  assert.deepEqual(await again(), { code: 1, stdout: "", stderr: `weave is created, paused, or restarting; ${free}` });
  await h1.docker("unpause", "weave");
  await h1.docker("run", "-d", "--name", "mine", "busybox", "sleep", "6000");
  const other = () => h1.weaveWith({ WEAVE_CONTAINER_NAME: "mine" }, "launch", "--image", IMAGE);
  assert.deepEqual(await other(), {
    code: 2,
    stdout: "",
    stderr: "Found another running container named 'mine'. Aborting.\n",
  });
  await h1.docker("kill", "mine");
  assert.deepEqual(await other(), { code: 2, stdout: "", stderr: "Found another container named 'mine'. Aborting.\n" });
  await h1.docker("rm", "mine");
});

test("a namespace that is made after the launch is attached; the other host's process is reached", async () => {
  await h2.type("ip netns add blue");
  peer = (await h2.ok("attach", "netns:blue")).trim();
  await h1.type("ip netns add red");
  red = (await h1.ok("attach", "netns:red")).trim();
  await works();
});

test("proxy, plugin, attach, expose, names, ps and report work as without a container", {
  timeout: 180_000,
}, async () => {
  await h1.type(`${PROXY_ENV} docker run -d --name proxied busybox sleep 6000`);
  assert.match(await h1.docker("exec", "proxied", "cat", "/etc/hosts"), /proxied\.weave\.local/);
  await h1.docker("exec", "proxied", "ping", "-c", "3", "-W", "2", peer);
  await h1.docker("run", "-d", "--name", "plugged", "--network", "weave", "busybox", "sleep", "6000");
  await h1.docker("exec", "plugged", "ping", "-c", "3", "-W", "2", peer);
  await h1.docker("run", "-d", "--name", "plain", "busybox", "sleep", "6000");
  const plain = (await h1.ok("attach", "plain")).trim();
  await h1.ok("dns-add", "plain", "-h", "named.weave.local");
  assert.equal((await h1.ok("dns-lookup", "named")).trim(), plain);
  await h1.ok("detach", "plain");
  const exposed = (await h1.ok("expose")).trim();
  await h2.type(`ip netns exec blue ping -c 1 -W 2 ${exposed}`);
  await h1.ok("hide");
  assert.match(await h1.ok("ps"), new RegExp(`^red .* ${red}/12$`, "m"));
  assert.equal(await h1.report("{{.Router.NickName}}"), "h1");
  await h1.type("docker rm -f plain plugged proxied");
});

test("a crash of the router and docker restart bring it back, with targets and addresses", {
  timeout: 180_000,
}, async () => {
  await h1.killRouter();
  await works();
  await h1.docker("restart", "weave");
  await works();
});

test("after a change of the password the engine starts the router with the new one, which the options lack", {
  timeout: 180_000,
}, async () => {
  const file = join(h2.folder, "next");
  writeFileSync(file, "another-for-inspect\n", { mode: 0o600 });
  await h2.ok("rekey", "--password-file", file, "--deadline", "1s");
  await until("the earlier is gone", async () => (await h2.report("{{.Secret.EarlierUntil}}")) === "", 30_000);
  for (const again of [() => h1.docker("restart", "weave"), () => h1.killRouter()]) {
    await again();
    await works();
    assert.match(await h1.ok("status"), /The network has another password now.*launch with the new one the next time/);
  }
});

test("the image's own command works on a host without Node", { timeout: 180_000 }, async () => {
  const command = "/run/weave-of-image";
  await h1.type(`docker run --rm ${IMAGE} cli >${command} && chmod +x ${command}`);
  const weave = (...args: string[]) => h1.runWith({ WEAVE_IMAGE: IMAGE }, command, ...args);
  assert.deepEqual(await weave("status", "targets"), { code: 0, stdout: `${SECOND}\n`, stderr: "" });
  assert.match((await weave("ps")).stdout, new RegExp(`^red .* ${red}/12$`, "m"));
  const again = await weave("launch");
  assert.deepEqual([again.code, again.stdout], [3, ""], again.stderr);
  // A file that it made would end with its container.
  const lost = await weave("backup", "/root/weave.backup");
  assert.equal(lost.code, 1);
  assert.match(lost.stderr, /no access to the file \/root\/weave\.backup of the host\n.*weave backup - >FILE/);
  assert.match((await weave("backup", "-")).stdout, /^\{"weave":"backup"/);
  await h1.type(`rm ${command}`);
});

test("a restart waits for no other one: two at once would remove each other's containers", async () => {
  const running = await h1.type("docker inspect -f '{{.State.StartedAt}}' weave");
  // This shell claims what launch, restart and restore claim.
  const claim = `printf '{"pid":%s,"started":"%s"}' $$ $(cut -d ' ' -f 22 /proc/$$/stat) >/run/weave/launch.pid`;
  const { stderr } = await h1.shell(`${claim}; weave restart; rm /run/weave/launch.pid`);
  assert.match(stderr, /another 'weave launch' or 'weave restart' is in progress/);
  assert.equal(await h1.type("docker inspect -f '{{.State.StartedAt}}' weave"), running);
});

test("docker container prune removes the data container: restart and stop make it again, with the state", {
  timeout: 180_000,
}, async () => {
  const volume = () => h1.type("docker inspect -f '{{(index .Mounts 0).Source}}' weavedb");
  const before = await volume();
  // The password and the targets are in the state, too.
  for (const again of [["restart"], ["launch", "--image", IMAGE, "--name", h1.peerName, "--resume"]]) {
    await h1.docker("rm", "weavedb");
    if (again[0] === "launch") await h1.ok("stop");
    await h1.ok(...again);
    const mounts = await h1.type("docker inspect -f '{{range .Mounts}}{{.Destination}} {{.Source}}\n{{end}}' weavedb");
    assert.match(mounts, new RegExp(`^/weavedb ${before}$`, "m"));
    await works();
  }
});

test("reset leaves nothing", { timeout: 180_000 }, async () => {
  await h1.ok("reset");
  await h1.type("ip netns del red");
  assert.equal(await traces(h1), before);
});

test("bad input: each a clear error, and nothing is left", { timeout: 180_000 }, async () => {
  const refused = async (env: NodeJS.ProcessEnv, ...args: string[]) => {
    const { code, stdout, stderr } = await h1.weaveWith(env, "launch", ...args);
    assert.deepEqual([code, stdout], [1, ""], stderr);
    return stderr;
  };
  assert.match(
    await refused({}, "--image", "weave:none"),
    /the engine has no image weave:none\n.*docker load -i .*docker pull weave:none/,
  );
  assert.match(await refused({ WEAVE_IMAGE: "busybox" }), /the image busybox has no router of weave\n/);
  assert.match(await refused({}, "--image", "../x"), /for --image: it must be the name of an image/);
  assert.match(await refused({}, "--image", IMAGE, "--resume"), /there is no run in a container yet, .* 'weavedb'/);
  assert.match(await refused({}, "--image", IMAGE, "--foreground"), /--image and --foreground exclude one another/);
  assert.match(
    await refused({}, "--image", IMAGE, "--db-prefix", "/tmp/x"),
    /the state is in the volume of the container 'weavedb'/,
  );
  assert.match(
    await refused({ WEAVE_DOCKER_ARGS: "--network none" }, "--image", IMAGE),
    /WEAVE_DOCKER_ARGS: '--network' is none of -e, /,
  );
  assert.match(await refused({ WEAVE_CONTAINER_NAME: "-x" }, "--image", IMAGE), /WEAVE_CONTAINER_NAME/);
  assert.match(
    await refused({}, "--image", IMAGE, "--docker-api", "unix:///run/none.sock"),
    /Cannot connect to the Docker engine at unix:\/\/\/run\/none\.sock/,
  );
  // A router that cannot start: its own reason, and no further attempts.
  assert.match(await refused({}, "--image", IMAGE, "--host", "203.0.113.9"), /203\.0\.113\.9/);
  const ended = "docker inspect -f '{{.State.Status}} {{.HostConfig.RestartPolicy.Name}}' weave";
  assert.equal(await h1.type(ended), "exited no");
  // `launch --resume` goes by the last launch that succeeded.
  const folder = await h1.type("docker inspect -f '{{(index .Mounts 0).Source}}' weavedb");
  assert.equal(await h1.type(`ls ${folder} | grep weavelaunch; true`), "");
  await h1.ok("reset", "--force");
  await h1.docker("run", "--name", "weavedb", "busybox", "true");
  assert.match(
    await refused({}, "--image", IMAGE),
    /the container 'weavedb' \(of the image busybox\) is not weave's\n'docker rm -v weavedb'/,
  );
  await h1.docker("rm", "weavedb");
  assert.equal(await traces(h1), before);
});

test("after a launch without it, the engine starts a stopped container no more", { timeout: 180_000 }, async () => {
  await h1.ok("launch", "--image", IMAGE);
  await h1.docker("stop", "weave");
  const policy = "docker inspect -f '{{.HostConfig.RestartPolicy.Name}}' weave";
  assert.equal(await h1.type(policy), "always");
  await h1.ok("launch");
  assert.equal(await h1.type(policy), "no");
  await h1.ok("reset");
  await h1.docker("rm", "-v", "weave", "weavedb");
  assert.equal(await traces(h1), before);
});
