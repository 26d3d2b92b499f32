import assert from "node:assert/strict";
import { test } from "node:test";
import { parseLaunch } from "#cli/launch/launch-flags.js";
import { type ContainerPlan, furtherFolders, routerConfig } from "#cli/supervision/container/container-config.js";

const optionsOf = (...args: string[]) => parseLaunch(args, {}).options;

function plan(...args: string[]): ContainerPlan {
  return {
    image: "weave:test",
    options: optionsOf(...args),
    dataContainer: "weavedb",
    containersFolder: "/var/lib/docker/containers",
    stateFolder: "/var/lib/docker/volumes/v/_data",
    propagation: true,
  };
}

test("the body for the router's container has no option of the launch", () => {
  const text = JSON.stringify(routerConfig(plan("--password", "hidden", "--nickname", "nick", "192.0.2.7"), {}));
  assert.doesNotMatch(text, /hidden|nick|192\.0\.2\.7/);
  assert.match(text, /"RestartPolicy":\{"Name":"always"\}/);
  assert.match(JSON.stringify(routerConfig(plan("--no-restart"), {})), /"RestartPolicy":\{"Name":"no"\}/);
});

test("without propagation the mounts below a folder are left out", () => {
  const { HostConfig } = routerConfig({ ...plan(), propagation: false }, {}) as {
    HostConfig: { Mounts: { BindOptions: object }[] };
  };
  for (const { BindOptions } of HostConfig.Mounts) assert.deepEqual(BindOptions, { NonRecursive: true });
});

test("folders outside of /run that the options name are mounted", () => {
  assert.deepEqual(furtherFolders(optionsOf(), {}), []);
  assert.deepEqual(furtherFolders(optionsOf("-H", "unix:///srv/weave/w.sock"), {}), ["/srv/weave"]);
  assert.deepEqual(furtherFolders(optionsOf("--docker-api", "unix:///srv/docker.sock"), {}), ["/srv"]);
  assert.deepEqual(furtherFolders(optionsOf("--docker-api", ""), { WEAVE_RUN_DIR: "/srv/run" }), ["/srv/run"]);
  assert.deepEqual(furtherFolders(optionsOf("--resolv-conf", "/opt/dns/resolv.conf"), {}), ["/opt/dns"]);
});
