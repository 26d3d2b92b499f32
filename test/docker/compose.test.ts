import assert from "node:assert/strict";
import { test as plainTest } from "node:test";
import { ComposeProject, composeImpossible } from "#test/lab/compose.js";
import type { DockerHost } from "#test/lab/docker-host.js";
import {
  addressesOfName,
  DEFAULT_SUBNET_FLAGS,
  type DockerTest,
  dockerTests,
  launchAll,
} from "#test/lab/docker-tests.js";
import { until } from "#test/lab/wait.js";

/** What a project of Compose relies on; `test/docker/slow/compose*.test.ts` has the rest. */

const SHOP = `
services:
  db:
    image: busybox
    command: sh -c "sleep 1; touch /ready; exec top"
    stop_grace_period: 0s
    healthcheck: {test: [CMD, test, -f, /ready], interval: 1s}
    networks:
      back: {aliases: [database], ipv4_address: 10.41.0.50}
  web:
    image: busybox
    command: top
    stop_grace_period: 0s
    depends_on: {db: {condition: service_healthy}}
    networks: [back, weave]
networks:
  weave: {external: true}
  back:
    driver: weavemesh
    ipam:
      driver: weavemesh
      config:
        - {subnet: 10.41.0.0/16, ip_range: 10.41.7.0/24, gateway: 10.41.0.1, aux_addresses: {router: 10.41.7.1}}
`;

let h1: DockerHost;
let h2: DockerHost;

const version = composeImpossible(5) === undefined ? 5 : 1;
const reason = composeImpossible(version) && `${composeImpossible(5)}; or ${composeImpossible(1)}`;

const test: DockerTest =
  reason === undefined
    ? dockerTests(2, async (hosts) => {
        [h1, h2] = hosts;
        await launchAll(hosts, ...DEFAULT_SUBNET_FLAGS);
      })
    : (name: string) => void plainTest(name, { skip: reason }, () => {});

test("a project with networks of its own and the network weave runs on both hosts", { timeout: 120_000 }, async (t) => {
  t.diagnostic(`Compose ${version}`);
  const [shop, other] = [h1, h2].map((host) => new ComposeProject(host, version, "shop", { file: SHOP }));

  await shop.type("up -d");
  const ids = await shop.ids();
  assert.equal(ids.length, 2);
  await shop.type("up -d");
  assert.deepEqual(await shop.ids(), ids, "a second up changes nothing");
  assert.deepEqual(await addressesOfName(h2, "database"), ["10.41.0.50"]);
  const web = await addressesOfName(h2, "web");
  assert.match(web.join(), /^10\.32\.\d+\.\d+,10\.41\.7\.\d+$/);
  assert.match(await shop.type("exec -T web ping -c 1 -W 5 database"), / 0% packet loss/);

  await shop.type("up -d --scale web=3");
  assert.equal((await addressesOfName(h2, "web")).length, 6);
  await shop.type("up -d --scale web=1");
  assert.deepEqual(await addressesOfName(h2, "web"), web, "no name of a container that is gone");

  // Gateway and auxiliary address belong to the network, which both hosts have.
  await other.type("up -d --no-deps web");
  await until("both hosts' containers have the name", async () => (await addressesOfName(h2, "web")).length === 4);
  assert.match(await other.type("exec -T web ping -c 1 -W 5 10.41.0.50"), / 0% packet loss/);
  await other.type("down");
  await shop.type("down");
  await until("no address is left", async () => (await h1.type("weave ps; weave status dns")).split("\n").length === 1);
  assert.doesNotMatch(await h1.type("docker network ls"), /shop/);
});
