import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test as anyTest } from "node:test";
import type { DockerHost } from "#test/lab/docker-host.js";
import { type DockerTest, dockerTests } from "#test/lab/docker-tests.js";
import type { Lab } from "#test/lab/lab.js";
import { pluginFolder } from "#test/lab/plugin-folder.js";
import { programMissing } from "#test/lab/requirements.js";
import { until } from "#test/lab/wait.js";

/** The managed plugin from a registry: installed by its name in Docker's store, upgraded, removed. The tests build upon one another. */

const REGISTRY = "127.0.0.1:5000";
const NAME = "store/weaveworks/net-plugin";
const missing = programMissing("docker-registry", "docker-registry");

let h1: DockerHost;
let folder: string;

const prepare = async ([host]: readonly DockerHost[], lab: Lab<DockerHost>) => {
  h1 = host;
  folder = pluginFolder(lab.folder);
  const config = join(lab.folder, "registry.yml");
  const storage = `storage: {filesystem: {rootdirectory: ${join(lab.folder, "registry")}}}`;
  writeFileSync(config, `version: 0.1\nlog: {level: error}\n${storage}\nhttp: {addr: "${REGISTRY}"}\n`);
  await h1.type(`setsid docker-registry serve ${config} >${lab.folder}/registry.log 2>&1 </dev/null &`);
  await until("the registry answers", async () => (await h1.shell(`curl -fs http://${REGISTRY}/v2/`)).code === 0);
  // The engine asks it for what is Docker's own registry otherwise.
  await h1.stopEngine();
  await h1.startEngine("--registry-mirror", `http://${REGISTRY}`);
};
const test: DockerTest =
  missing === undefined ? dockerTests(1, prepare) : (name: string) => void anyTest(name, { skip: missing });

const peerName = async () => {
  await until("its router runs", async () => (await h1.weave("status")).code === 0);
  return h1.ok("report", "-f", "{{.Router.Name}}");
};
/** Creates a plugin, and moves it to the registry. */
const publish = async (version: string) => {
  const name = `${REGISTRY}/${NAME}:${version}`;
  await h1.type(`docker plugin create ${name} ${folder} && docker plugin push ${name} && docker plugin rm ${name}`);
};

test("it is installed by a name of Docker's store, after a question about its rights", {
  timeout: 180_000,
}, async (t) => {
  await publish("2.5.2");
  const start = Date.now();
  const output = await h1.type(`yes | docker plugin install ${NAME}:2.5.2 WEAVE_PASSWORD=secret`);
  t.diagnostic(`installed and enabled after ${Date.now() - start} ms`);
  for (const right of ["network: [host]", "host pid namespace: [true]", "/dev/net/tun", "CAP_SYS_ADMIN"])
    assert.ok(output.includes(right), output);
  assert.equal(await h1.type(`docker plugin ls --format '{{.Name}} {{.Enabled}}'`), `${NAME}:2.5.2 true`);
  await peerName();
});

test("an upgrade keeps its settings and its state", { timeout: 180_000 }, async () => {
  const before = await peerName();
  const config = join(folder, "config.json");
  writeFileSync(config, readFileSync(config, "utf8").replace(/"description": "[^"]*"/, '"description": "upgraded"'));
  // An engine takes a file system of which it has every byte already for a plugin that exists.
  writeFileSync(join(folder, "rootfs/etc/upgraded"), "");
  await publish("2.5.3");
  await h1.type(`docker plugin disable ${NAME}:2.5.2`);
  await h1.type(`docker plugin upgrade --skip-remote-check --grant-all-permissions ${NAME}:2.5.2 ${NAME}:2.5.3`);
  await h1.type(`docker plugin enable ${NAME}:2.5.2`);
  const inspected = await h1.type(`docker plugin inspect -f '{{.Config.Description}} {{.Settings.Env}}' ${NAME}:2.5.2`);
  assert.match(inspected, /^upgraded .*WEAVE_PASSWORD=secret/);
  assert.equal(await peerName(), before);
  assert.match(await h1.ok("status"), /Encryption: enabled\n/);
});

test("it is removed, with its processes", { timeout: 60_000 }, async () => {
  await h1.type(`docker plugin disable ${NAME}:2.5.2 && docker plugin rm ${NAME}:2.5.2`);
  assert.equal(await h1.type("docker plugin ls -q"), "");
  assert.doesNotMatch(await h1.type("ps -e -o args"), /managed-plugin|router\/main/);
});
