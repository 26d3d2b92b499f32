import assert from "node:assert/strict";
import { test as plainTest } from "node:test";
import { ComposeProject, type ComposeVersion, composeImpossible, replaceImpossible } from "#test/lab/compose.js";
import type { DockerHost } from "#test/lab/docker-host.js";
import { addressesOfName, addressOf, DEFAULT_SUBNET_FLAGS, dockerTests, launchAll } from "#test/lab/docker-tests.js";
import { until } from "#test/lab/wait.js";

/** Projects of Compose on Docker's networks with our drivers, by each generation of Compose. */

const quick = "image: busybox\n    stop_grace_period: 0s";
/** A process that a test ends by removing a file. */
const loop = 'sh -c "touch /stays; while [ -e /stays ]; do sleep 0.1; done"';

const file = (greeting: string) => `
services:
  db:
    ${quick}
    command: sh -c "sleep 1; touch /ready; exec top"
    healthcheck: {test: [CMD, test, -f, /ready], interval: 1s}
    networks:
      back: {aliases: [database], ipv4_address: 10.41.0.50}
  api:
    ${quick}
    command: sh -c "while true; do echo ${greeting} | nc -l -p 80; done"
    depends_on: {db: {condition: service_healthy}}
    ports: ["8081:80"]
    networks:
      weave: {aliases: [api.shop]}
      back:
      front:
  worker:
    ${quick}
    command: ${loop}
    restart: always
    networks: [back, weave]
  debug:
    ${quick}
    command: top
    profiles: [debug]
    networks: [weave]
networks:
  weave: {external: true}
  back:
    driver: weavemesh
    internal: true
    ipam:
      driver: weavemesh
      config:
        - {subnet: 10.41.0.0/16, ip_range: 10.41.7.0/24, gateway: 10.41.0.1, aux_addresses: {router: 10.41.7.1}}
  front:
    driver: weave
    ipam: {config: [{subnet: 192.168.80.0/24, ip_range: 192.168.80.64/26}]}
`;

let h1: DockerHost;
let h2: DockerHost;

const test = dockerTests(2, async (hosts) => {
  [h1, h2] = hosts;
  await launchAll(hosts, ...DEFAULT_SUBNET_FLAGS);
});

/** Nothing of a project is left on a host: no container, network, address or name. */
async function nothingLeft(host: DockerHost, project: string): Promise<void> {
  assert.equal(await host.type(`docker ps -aq --filter label=com.docker.compose.project=${project}`), "");
  assert.equal(await host.type(`docker network ls -q --filter name=${project}_`), "");
  assert.equal(await host.type("weave ps | grep -v weave:expose || true"), "");
  assert.equal(await host.type("weave status dns"), "");
}

for (const version of [5, 1] as const satisfies ComposeVersion[]) {
  const missing = composeImpossible(version);
  const title = (text: string) => `Compose ${version}: ${text}`;
  if (missing !== undefined) {
    plainTest(title("projects by the plugin"), { skip: missing }, () => {});
    continue;
  }
  const project = (host: DockerHost, name: string, content: string) =>
    new ComposeProject(host, version, name, { file: content });

  test(title("a project's networks, addresses, ports and health are as its file says"), async () => {
    const shop = project(h1, "shop", file("hello"));
    await shop.type("up -d");
    assert.equal(
      await h1.type("docker network inspect -f '{{.Driver}} {{.Internal}} {{json .IPAM.Config}}' shop_back"),
      'weavemesh true [{"Subnet":"10.41.0.0/16","IPRange":"10.41.7.0/24","Gateway":"10.41.0.1","AuxiliaryAddresses":{"router":"10.41.7.1"}}]',
    );
    assert.deepEqual(await addressesOfName(h2, "database"), ["10.41.0.50"]);
    assert.equal((await addressesOfName(h2, "api")).length, 3);
    assert.equal((await addressesOfName(h2, "api.shop.weave.local")).length, 1);
    assert.deepEqual(await addressesOfName(h2, "debug"), [], "its profile is off");
    const health = "docker inspect -f '{{.State.Health.Status}}'";
    assert.equal(await h1.type(`${health} ${await shop.container("db")}`), "healthy");
    await until("the published port answers", async () =>
      (await h2.shell("busybox nc -w 2 10.99.0.1 8081 < /dev/null")).stdout.includes("hello"),
    );
    assert.match(await shop.type("exec -T worker ping -c 1 -W 5 database"), / 0% packet loss/);
    assert.match(await shop.type("exec -T worker ping -c 1 -W 5 api"), / 0% packet loss/);

    const ids = await shop.ids();
    await shop.type("up -d");
    assert.deepEqual(await shop.ids(), ids, "a second up changes nothing");
    await shop.type("--profile debug up -d");
    assert.equal((await addressesOfName(h2, "debug")).length, 1);
  });

  test(title("scale 1, 5, 1: names and addresses follow"), async () => {
    const shop = project(h1, "shop", file("hello"));
    const before = await addressesOfName(h2, "worker");
    assert.equal(before.length, 2);
    await shop.type("up -d --scale worker=5");
    assert.equal((await addressesOfName(h2, "worker")).length, 10);
    assert.match(await shop.type("exec -T api ping -c 1 -W 5 worker"), / 0% packet loss/);
    await shop.type("up -d --scale worker=1");
    assert.deepEqual(await addressesOfName(h2, "worker"), before);
    assert.equal((await h1.type(`weave ps`)).split("\n").length, 1 + 1 + 3 + 2 + 1);
  });

  test(title("run, restart, a restart by policy, stop and start: names are those of what runs"), async () => {
    const shop = project(h1, "shop", file("hello"));
    assert.match(await shop.type("run --rm worker ping -c 1 -W 5 api"), / 0% packet loss/);
    const worker = await shop.container("worker");
    const agrees = async () => {
      const shown = [await addressOf(h1, worker, "shop_back"), await addressOf(h1, worker)].sort();
      return shown.join() === (await addressesOfName(h2, "worker")).join();
    };
    const started = () => h1.type(`docker inspect -f '{{.State.StartedAt}} {{.State.Running}}' ${worker}`);
    const before = await started();
    await shop.type("exec -T worker rm /stays");
    await until("its policy starts it", async () => {
      const now = await started();
      return now !== before && now.endsWith("true");
    });
    await until("names agree with Docker", agrees);
    for (const line of ["restart", "stop", "start"]) await shop.type(line);
    await until("names agree with Docker", agrees);
    assert.deepEqual(await addressesOfName(h2, "database"), ["10.41.0.50"]);
  });

  const noReplacement = replaceImpossible(version);
  if (noReplacement !== undefined)
    plainTest(title("a changed file, --force-recreate"), { skip: noReplacement }, () => {});
  else
    test(title("a changed file replaces its service alone, --force-recreate all; names stay right"), async () => {
      const shop = project(h1, "shop", file("goodbye"));
      const ids = await shop.ids();
      const worker = await addressesOfName(h2, "worker");
      await shop.type("up -d");
      assert.equal((await shop.ids()).filter((id) => !ids.includes(id)).length, 1);
      await until("the new one answers", async () =>
        (await h2.shell("busybox nc -w 2 10.99.0.1 8081 < /dev/null")).stdout.includes("goodbye"),
      );
      await shop.type("up -d --force-recreate");
      assert.deepEqual(
        [await addressesOfName(h2, "worker"), await addressesOfName(h2, "database")],
        [worker, ["10.41.0.50"]],
      );
      assert.equal((await addressesOfName(h2, "api")).length, 3);
      assert.equal((await addressesOfName(h2, await shop.container("api"))).length, 3);
    });

  test(title("down leaves nothing of the project, and the network weave"), async () => {
    const shop = project(h1, "shop", file("hello"));
    await shop.type("--profile debug down -v --remove-orphans");
    await nothingLeft(h1, "shop");
    await h1.type("docker network inspect weave");
  });

  test(title("one file on two hosts: each name leads to addresses that the asking service reaches"), async () => {
    const address = await h2.type("weave docker-bridge-ip");
    const open = file("hello").replace("    internal: true\n", "");
    const asking = `${open}\nx-dns: &dns {dns: ["${address}"], dns_search: weave.local}`;
    const here = project(h1, "spread", open);
    // A service on one of the networks, and one on another.
    const there = project(
      h2,
      "spread",
      `${asking}`
        .replaceAll("command: top", `command: top\n    dns: ${address}\n    dns_search: weave.local`)
        .replaceAll("restart: always", `dns: ${address}\n    dns_search: weave.local`)
        .replace("networks: [back, weave]", "networks: [back]"),
    );
    await here.type("up -d");
    await there.type("--profile debug up -d --no-deps worker debug");
    for (let i = 0; i < 5; i++) {
      assert.match(await there.type("exec -T worker ping -c 1 -W 5 api"), /PING api \(10\.41\..* 0% packet loss/s);
      assert.match(await there.type("exec -T debug ping -c 1 -W 5 api"), /PING api \(10\.32\..* 0% packet loss/s);
    }
    // Another project with a service of the same name, on a network of its own.
    const other = project(
      h1,
      "other",
      file("other").replaceAll("10.41.", "10.42.").replace("8081", "8082").replaceAll("192.168.80", "192.168.81"),
    );
    await other.type("up -d db");
    assert.equal((await addressesOfName(h2, "db")).length, 2);
    for (let i = 0; i < 5; i++)
      assert.match(await there.type("exec -T worker ping -c 1 -W 5 db"), /PING db \(10\.41\.0\.50\).* 0% packet loss/s);
    await other.type("down");
    await there.type("--profile debug down");
    await here.type("down");
    for (const host of [h1, h2]) await nothingLeft(host, "spread");
  });

  test(title("an address of another host's container is refused, and the message says whose it is"), async () => {
    const only = file("hello").replace(/ {2}api:[\s\S]*(?=networks:\n {2}weave)/, "");
    const [here, there] = [h1, h2].map((host) => project(host, "twice", only));
    await here.type("up -d");
    const { code, stdout, stderr } = await there.shell("up -d");
    assert.notEqual(code, 0);
    assert.match(stdout + stderr, /10\.41\.0\.50 is owned by other peer 02:00:00:00:00:01 \(h1\)/);
    await there.type("down");
    await here.type("down");
    for (const host of [h1, h2]) await nothingLeft(host, "twice");
  });
}
