import assert from "node:assert/strict";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { parseLaunch } from "#cli/launch/launch-flags.js";
import { Engine, EngineError, engineUnreachable } from "#docker/engine/engine.js";
import { isPodman, PODMAN_SOCKET, podmanGateway } from "#docker/engine/podman.js";
import { dockerStatusBlocks } from "#router/docker/status.js";
import { containerOfCgroups } from "#src/linux/netns/inspect.js";

const folder = mkdtempSync(join(tmpdir(), "weave-podman-"));
after(() => rmSync(folder, { recursive: true, force: true }));

test("Podman is known by the name of its socket, also behind the link of Docker's", () => {
  const socket = join(folder, "podman.sock");
  writeFileSync(socket, "");
  symlinkSync(socket, join(folder, "docker.sock"));
  for (const path of [PODMAN_SOCKET, "/run/user/1000/podman/podman.sock", join(folder, "docker.sock")])
    assert.ok(isPodman({ socketPath: path }), path);
  for (const address of [{ socketPath: "/var/run/docker.sock" }, { host: "podman.sock", port: 2375 }])
    assert.ok(!isPodman(address), JSON.stringify(address));
});

test("with Podman there is no plugin, and the default bridge is Podman's", () => {
  const docker = (...args: string[]) => parseLaunch(["--no-detect-tls", ...args], {}).options.docker;
  const podman = docker("--docker-api", `unix://${PODMAN_SOCKET}`);
  assert.deepEqual([podman.plugin, podman.bridge], [false, "podman0"]);
  assert.equal(docker("--docker-api", `unix://${PODMAN_SOCKET}`, "--docker-bridge", "br7").bridge, "br7");
  const engine = docker("--docker-api", "unix:///var/run/docker.sock");
  assert.deepEqual([engine.plugin, engine.bridge], [true, "docker0"]);
});

test("the header Server has product and version", async () => {
  let header = "";
  const server = createServer((_request, response) =>
    response.setHeader("Server", header).setHeader("Api-Version", "1.41").end("OK"),
  );
  const path = join(folder, "engine.sock");
  await new Promise<void>((resolve) => server.listen(path, resolve));
  after(() => server.close());
  const engine = new Engine({ socketPath: path });
  assert.equal(engine.product, "");
  for (const [text, product, podman] of [
    ["Libpod/4.3.1 (linux)", "podman 4.3.1", true],
    ["Libpod/5.6.0-dev (linux)", "podman 5.6.0-dev", true],
    ["Docker/29.1.0 (linux)", "docker 29.1.0", false],
    ["nginx/1.2", "", false],
    [`Docker/${"9".repeat(64)} (linux)`, "", false],
    ["", "", false],
  ] as const) {
    header = text;
    await engine.negotiate();
    assert.deepEqual([engine.product, engine.isPodman], [product, podman], text);
  }
});

test("the gateway of the default network is read, and the usual one without an answer", async () => {
  const engine = (...Config: { Gateway: string }[]) => ({ network: async () => ({ IPAM: { Config } }) });
  assert.equal(await podmanGateway(engine({ Gateway: "fd00::1" }, { Gateway: "10.90.0.1" })), "10.90.0.1");
  assert.equal(await podmanGateway(engine()), "10.88.0.1");
  const away = { network: () => Promise.reject(new EngineError(404, "no such network")) };
  assert.equal(await podmanGateway(away), "10.88.0.1");
});

test("an engine without a paragraph of the plugin is shown beside the proxy, and so is its problem", () => {
  const docker = {
    Engine: `unix://${PODMAN_SOCKET}`,
    Product: "podman 4.3.1",
    ApiVersion: "1.41",
    Containers: 1,
    Problem: "it\nis away",
    Swarm: "",
    Contested: [],
  };
  assert.deepEqual(dockerStatusBlocks({ Docker: docker, Proxy: { Addresses: ["unix:///a"], Open: [] } }), [
    "        Service: proxy\n        Address: unix:///a\n         Engine: podman 4.3.1\n        Problem: it is away\n",
  ]);
  const { text, next } = engineUnreachable({ socketPath: PODMAN_SOCKET }, new Error("x"));
  assert.match(`${text} ${next}`, /Podman's service at unix:\/\/\/run\/podman\/podman\.sock.*podman\.socket/s);
});

test("a container is known by its cgroup, with all managers of cgroups", () => {
  const [id, other] = ["a1".repeat(32), "b2".repeat(32)];
  for (const path of [
    `/docker/${id}`,
    `/system.slice/docker-${id}.scope`,
    `/system.slice/docker-${id}.scope/init.scope`,
    `/libpod_parent/libpod-${id}`,
    `/libpod_parent/${other}/libpod-${id}`,
    `/machine.slice/libpod-${id}.scope`,
    // crun, with cgroups of version 2.
    `/machine.slice/libpod-${id}.scope/container`,
    `/machine.slice/machine-libpod_pod_${other}.slice/libpod-${id}.scope/container`,
    `/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-${id}.scope/container`,
    `/kubepods.slice/kubepods-pod1.slice/cri-containerd-${id}.scope`,
    `/kubepods.slice/kubepods-pod1.slice/crio-${id}.scope/container`,
    `/kubepods/burstable/pod1/${id}`,
  ]) {
    assert.equal(containerOfCgroups(`0::${path}\n`), id, path);
    assert.equal(containerOfCgroups(`12:cpu:/\n3:memory:${path}\n0::/\n`), id, path);
  }
  for (const path of [
    "/",
    "/user.slice",
    `/machine.slice/libpod-conmon-${id}.scope`,
    `/libpod_parent/${id}/conmon`,
    `/docker/${id.slice(1)}`,
  ])
    assert.equal(containerOfCgroups(`0::${path}\n`), undefined, path);
});
