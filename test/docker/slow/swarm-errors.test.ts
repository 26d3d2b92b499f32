import assert from "node:assert/strict";
import { cpSync } from "node:fs";
import type { DockerHost } from "#test/lab/docker-host.js";
import { refused } from "#test/lab/docker-tests.js";
import { engineAtLeast } from "#test/lab/engine.js";
import { changePlugin } from "#test/lab/plugin-folder.js";
import {
  makeSwarm,
  meshed,
  PLUGIN_2_5_2,
  reaches,
  registryTests,
  SERVICE,
  SWARM_MS,
  settled,
  typePatiently,
} from "#test/lab/swarm.js";
import { until } from "#test/lab/wait.js";

/** What can be wrong with the managed plugin and its networks, and what users read. The tests build upon one another. */

let h1: DockerHost;
let h2: DockerHost;
let hosts: readonly DockerHost[];
/** What `docker plugin create` takes; another plugin than that of the registry. */
let other: string;

const test = registryTests(2, async (made, folder) => {
  hosts = made;
  [h1, h2] = made;
  other = `${folder}-2`;
  cpSync(folder, other, { recursive: true, verbatimSymlinks: true });
  changePlugin(other, "another");
  for (const host of hosts)
    await typePatiently(host, `docker plugin install --grant-all-permissions --disable ${PLUGIN_2_5_2}`);
});

const enable = (host: DockerHost) => host.type(`docker plugin enable ${PLUGIN_2_5_2}`);
const disable = (host: DockerHost) => host.type(`docker plugin disable ${PLUGIN_2_5_2}`);
/** The answer of the only enabled plugin to a call of Docker. */
const answer = async (host: DockerHost): Promise<string> => {
  const body = '{"NetworkID":"x6q7cpubxss806iihoujn7h6v"}';
  const socket = "--unix-socket /run/docker/plugins/*/weave.sock";
  return host.type(`curl -s --max-time 40 ${socket} -d '${body}' http://plugin/NetworkDriver.CreateNetwork`);
};

/** Wrong settings, and what the plugin answers. */
const SETTINGS: readonly (readonly [setting: string, answer: RegExp])[] = [
  ["LOG_LEVEL=loud", /invalid value \\"loud\\" for --log-level: it must be debug, info/],
  ["WEAVE_MTU=fat", /invalid value \\"fat\\" for WEAVE_MTU: it must be bytes/],
  ["IPALLOC_RANGE=10.0.0.0/99", /invalid value \\"10\.0\.0\.0\/99\\" for --ipalloc-range/],
  ["WEAVE_PEERS=10.99.0.2:99999", /10\.99\.0\.2:99999/],
  ["EXTRA_ARGS=--nope", /--nope.*weave launch --help/],
  ["EXTRA_ARGS='--port 99999'", /invalid value \\"99999\\" for --port/],
  ["EXTRA_ARGS='--password-file /nowhere'", /cannot read the password file/],
  ["EXTRA_ARGS=--docker-api=", /EXTRA_ARGS must not contain --docker-api/],
  ["EXTRA_ARGS='--plugin-socket /x.sock'", /EXTRA_ARGS must not contain --plugin-socket/],
  ["EXTRA_ARGS=--help", /EXTRA_ARGS must not contain --help/],
  ["state.source=/proc", /cannot open the database .*ENOENT/],
  ["state.source=/sys", /cannot .*\/host\/var\/lib\/weave/],
];

test("each wrong setting is an answer; the plugin stays enabled, and the next setting helps", {
  timeout: 600_000,
}, async () => {
  for (const [setting, expected] of SETTINGS) {
    await h1.type(`docker plugin set ${PLUGIN_2_5_2} ${setting}`);
    await enable(h1);
    assert.match(await answer(h1), expected, setting);
    assert.equal(await h1.type(`docker plugin inspect -f '{{.Enabled}}' ${PLUGIN_2_5_2}`), "true", setting);
    await disable(h1);
    const name = setting.replace(/=.*/, "");
    await h1.type(`docker plugin set ${PLUGIN_2_5_2} ${name}=${name === "state.source" ? "/var/lib" : ""}`);
  }
  await enable(h1);
  assert.equal(await answer(h1), "{}");
  await disable(h1);
});

test("a folder that does not exist, and what is no setting, are rejected by Docker", { timeout: 600_000 }, async () => {
  for (const mount of ["run", "state"]) {
    await h1.type(`docker plugin set ${PLUGIN_2_5_2} ${mount}.source=/nowhere`);
    assert.match(await refused(h1, `docker plugin enable ${PLUGIN_2_5_2}`), /\/nowhere.*no such file or directory/);
    await h1.type(`docker plugin set ${PLUGIN_2_5_2} run.source=/run state.source=/var/lib`);
  }
  for (const setting of ["PATH=/", "WEAVE_RUN_DIR=/x", "tun.path=/dev/null"])
    assert.match(await refused(h1, `docker plugin set ${PLUGIN_2_5_2} ${setting}`), /is not settable/);
});

test("without Docker's socket it serves networks, and status shows what is missing", { timeout: 600_000 }, async () => {
  await h1.type(`mkdir -p /srv/run && docker plugin set ${PLUGIN_2_5_2} run.source=/srv/run && echo ok`);
  await enable(h1);
  assert.equal(await answer(h1), "{}");
  const status = () => h1.shell("WEAVE_RUN_DIR=/srv/run/weave weave status");
  await until("status shows it", async () => /Problem.*docker\.sock/.test((await status()).stdout));
  await disable(h1);
  await h1.type(`docker plugin set ${PLUGIN_2_5_2} run.source=/run`);
});

test("outside of a swarm a network is rejected, or is one of this host alone", { timeout: 600_000 }, async () => {
  await enable(h1);
  const create = `docker network create --driver=${PLUGIN_2_5_2} --subnet 10.1.1.0/24 --gateway 10.1.1.1 lonely`;
  if (!engineAtLeast(26)) {
    assert.match(await refused(h1, create), /This node is not a swarm manager/);
    await disable(h1);
    return;
  }
  await h1.type(create);
  await h1.type("docker run -d --name one --network lonely busybox sleep 999");
  await h1.type("docker run -d --name two --network lonely busybox sleep 999");
  await reaches(h1, "one", "two");
  assert.match(h1.engineLog(), /this network is of this host alone, as the engine is in no swarm/);
  await h1.type("docker rm -f one two && docker network rm lonely");
  await until("the plugin is free", async () => (await h1.shell(`docker plugin disable ${PLUGIN_2_5_2}`)).code === 0);
});

test("one host has one router: a second one names the first, and does not disturb it", {
  timeout: 600_000,
}, async () => {
  const id = async (name: string) => h1.type(`docker plugin inspect -f '{{slice .ID 0 12}}' ${name}`);
  // The host's own router is first.
  await h1.launch();
  await enable(h1);
  assert.match(await answer(h1), /router of this plugin does not run: weave is already running; .*'weave stop'/);
  assert.equal(await h1.type("docker run --rm --network weave busybox echo works"), "works");
  // When it stops, the plugin's takes its place.
  await h1.ok("stop");
  await until(
    "the plugin's router runs",
    async () => /Service: plugin \(v2\)/.test((await h1.weave("status")).stdout),
    SWARM_MS,
  );
  const plugin = new RegExp(
    `router is of Docker's managed plugin ${await id(PLUGIN_2_5_2)}; 'docker plugin disable' stops it`,
  );
  assert.match((await h1.weave("launch")).stderr, plugin);
  // A second managed plugin.
  await typePatiently(h1, `docker plugin create other/net:1 ${other}`);
  await h1.type("docker plugin enable other/net:1");
  const socket = `/run/docker/plugins/${await h1.type("docker plugin inspect -f '{{.ID}}' other/net:1")}/weave.sock`;
  const call = `curl -s --max-time 40 --unix-socket ${socket} -d '{"NetworkID":"n"}' http://plugin/NetworkDriver.CreateNetwork`;
  await until("the second plugin names the first", async () => plugin.test(await h1.type(call)), SWARM_MS);
  assert.match(await h1.ok("status"), /Service: plugin \(v2\)/);
  await h1.type("docker plugin disable other/net:1 && docker plugin rm other/net:1");
  await disable(h1);
});

const errorsOf = async (service: string) =>
  h1.type(`docker service ps --no-trunc --format '{{.CurrentState}} {{.Error}}' ${service}`);

test("a node without the plugin gets no tasks, and a service that needs it shows why", {
  timeout: 600_000,
}, async () => {
  await enable(h1);
  await makeSwarm(hosts);
  await h1.type(`docker network create -d ${PLUGIN_2_5_2} --subnet 10.1.1.0/24 --attachable weavenet1`);
  await h1.type(`${SERVICE} --replicas 2 --name anywhere --network weavenet1 busybox sleep 9999`);
  await h1.type(`${SERVICE} --constraint node.hostname==h2 --name there --network weavenet1 busybox sleep 9999`);
  await settled([h1], { service: "anywhere", network: "weavenet1", replicas: 2 });
  await until("the reason is shown", async () => /missing plugin on 1 node/.test(await errorsOf("there")), SWARM_MS);
  await enable(h2);
  await meshed(hosts);
  // A node reports its plugins every 20 s.
  await settled(hosts, { service: "there", network: "weavenet1", replicas: 1 });
  await h1.type("docker service rm there anywhere");
});

test("overlapping subnets are rejected; a route of the host is reported", { timeout: 600_000 }, async () => {
  const create = (name: string, subnet: string) =>
    `docker network create -d ${PLUGIN_2_5_2} --subnet ${subnet} ${name}`;
  const { code, stderr } = await h1.shell(create("twice", "10.1.1.128/25"));
  if (code !== 0) assert.match(stderr, /[Pp]ool overlaps/);
  else {
    // Its managers allocate it later; the tasks wait.
    await h1.type(`${SERVICE} --name never --network twice busybox sleep 9999`);
    await until("the engine reports it", () => /[Pp]ool overlaps/.test(h1.engineLog()), SWARM_MS);
    await h1.type("docker service rm never && docker network rm twice");
  }
  await h1.type("ip link add lan type bridge && ip link set lan up && ip address add 10.77.7.1/24 dev lan");
  await h1.type(create("routed", "10.77.0.0/16"));
  await h1.type(`${SERVICE} --constraint node.hostname==h1 --name routed --network routed busybox sleep 9999`);
  await settled([h1], { service: "routed", network: "routed", replicas: 1 });
  await until("the log reports the route", () =>
    /10\.77\.7\.0\/24.*overlaps a route of this host/.test(h1.engineLog()),
  );
  await h1.type("docker service rm routed && ip link delete lan");
});
