import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { parseLaunch } from "#cli/launch/launch-flags.js";
import { routerConfig } from "#cli/supervision/container/container-config.js";
import { VERSION } from "#src/version.js";

const read = (path: string) => readFileSync(new URL(`../../../packaging/image/${path}`, import.meta.url), "utf8");

test("the Dockerfile has the configuration of the image that is made without a registry", () => {
  const dockerfile = read("Dockerfile").replaceAll("\\\n", " ");
  const { Entrypoint, Cmd, Env, Labels } = JSON.parse(read("config.json"));
  const line = (word: string) => new RegExp(`^${word} (.*)$`, "m").exec(dockerfile)?.[1] ?? "";
  assert.deepEqual(JSON.parse(line("ENTRYPOINT")), Entrypoint);
  assert.deepEqual(JSON.parse(line("CMD")), Cmd);
  assert.deepEqual(line("ENV").split(" "), Env);
  const labels = [...line("LABEL").matchAll(/([\w.]+)=("[^"]*"|\S+)/g)].map(([, name, value]) => [
    name,
    value.replaceAll('"', ""),
  ]);
  const versions = { "org.opencontainers.image.version": VERSION, "works.weave.version": VERSION };
  assert.deepEqual(Object.fromEntries(labels), { ...Labels, ...versions });
});

test("the command for hosts without Node has the capabilities of the router", () => {
  const options = parseLaunch([], {}).options;
  const plan = { image: "", options, dataContainer: "", containersFolder: "/c", stateFolder: "/s", propagation: true };
  const { HostConfig } = routerConfig(plan, {}) as { HostConfig: { CapAdd: string[] } };
  assert.deepEqual(/^for capability in (.*); do$/m.exec(read("cli.sh"))?.[1].split(" "), HostConfig.CapAdd);
});
