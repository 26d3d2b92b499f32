import assert from "node:assert/strict";
import { test as plainTest } from "node:test";
import { ComposeProject, type ComposeVersion, composeImpossible, replaceImpossible } from "#test/lab/compose.js";
import type { DockerHost } from "#test/lab/docker-host.js";
import { addressesOfName, DEFAULT_SUBNET_FLAGS, dockerTests, launchAll, PROXY_ENV } from "#test/lab/docker-tests.js";
import { engineAtLeast } from "#test/lab/engine.js";
import { until } from "#test/lab/wait.js";

/** Projects of Compose through the proxy, by each generation of Compose. */

const quick = "image: busybox\n    stop_grace_period: 0s";

/** @param mark changes the service `web`, and nothing else */
const file = (mark: string) => `
services:
  web:
    ${quick}
    command: sh -c "while true; do echo hello | nc -l -p 80; done"
    network_mode: bridge
    hostname: web
    domainname: weave.local
    environment: [MARK=${mark}]
    ports: ["8083:80"]
    healthcheck: {test: [CMD, ip, link, show, ethwe], interval: 1s}
  fixed:
    ${quick}
    command: top
    network_mode: bridge
    environment: [WEAVE_CIDR=10.40.0.10/16 10.32.200.1/16]
    depends_on: {web: {condition: service_healthy}}
  scaled:
    ${quick}
    command: top
    network_mode: bridge
    restart: always
  both:
    ${quick}
    command: top
    networks:
      default:
      weave: {priority: 10}
  pinned:
    ${quick}
    command: top
    environment: [WEAVE_CIDR=10.40.0.11/16]
networks:
  weave: {external: true}
`;

let h1: DockerHost;
let h2: DockerHost;

const test = dockerTests(2, async (hosts) => {
  [h1, h2] = hosts;
  await launchAll(hosts, ...DEFAULT_SUBNET_FLAGS);
});

for (const version of [5, 1] as const satisfies ComposeVersion[]) {
  const missing = composeImpossible(version);
  const title = (text: string) => `Compose ${version}: ${text}`;
  if (missing !== undefined) {
    plainTest(title("projects through the proxy"), { skip: missing }, () => {});
    continue;
  }
  const mixed = (content = file("first")) =>
    new ComposeProject(h1, version, "mixed", { file: content, before: PROXY_ENV });
  const separator = version === 5 ? "-" : "_";
  const name = (service: string, number = 1) => ["mixed", service, number].join(separator);

  test(title("services are attached, have names and the addresses of WEAVE_CIDR; warnings are shown"), async () => {
    const project = mixed();
    const output = await project.type("up -d");
    if (version === 5)
      assert.match(output, /WEAVE_CIDR has no effect with --network mixed_default.*network_mode: bridge/);
    const addresses = await project.type("exec -T fixed ip -o -4 addr show ethwe");
    assert.match(addresses, /10\.40\.0\.10\/16[\s\S]*10\.32\.200\.1\/16/);
    assert.match(await project.type("exec -T fixed ping -c 1 -W 5 web"), / 0% packet loss/);
    await until("the published port answers", async () =>
      (await h2.shell("busybox nc -w 2 10.99.0.1 8083 < /dev/null")).stdout.includes("hello"),
    );
    const ids = await project.ids();
    await project.type("up -d");
    assert.deepEqual(await project.ids(), ids, "a second up changes nothing");
  });

  test(
    title("names of the other host resolve in all services that are on weave, whichever network is first"),
    async () => {
      const project = mixed();
      await h2.type(`${PROXY_ENV} docker run -d --name far busybox top`);
      for (const service of ["web", "fixed", "scaled", "both"])
        assert.match(await project.type(`exec -T ${service} ping -c 1 -W 5 far`), / 0% packet loss/, service);
      for (const each of ["web", name("fixed"), name("scaled"), name("both")])
        assert.match(await h2.type(`docker exec far ping -c 1 -W 5 ${each}`), / 0% packet loss/, each);
      await h2.type("docker rm -f far");
    },
  );

  if (engineAtLeast(25) && version === 5)
    test(title("weaveDNS is used where the network weave is not the first one"), async () => {
      const second = mixed(file("first").replace("weave: {priority: 10}", "weave:"));
      await second.type("up -d both");
      await h2.type(`${PROXY_ENV} docker run -d --name far busybox top`);
      assert.match(await second.type("exec -T both ping -c 1 -W 5 far"), / 0% packet loss/);
      await h2.type("docker rm -f far");
      await mixed().type("up -d");
    });

  test(title("scale 1, 5, 1, and run: names follow"), async () => {
    const project = mixed();
    await project.type("up -d --scale scaled=5");
    for (let i = 1; i <= 5; i++) assert.equal((await addressesOfName(h2, name("scaled", i))).length, 1);
    await project.type("up -d --scale scaled=1");
    for (let i = 2; i <= 5; i++) assert.deepEqual(await addressesOfName(h2, name("scaled", i)), []);
    assert.match(await project.type("run --rm scaled ping -c 1 -W 5 web"), / 0% packet loss/);
  });

  const noReplacement = replaceImpossible(version);
  if (noReplacement !== undefined)
    plainTest(title("a changed file, --force-recreate"), { skip: noReplacement }, () => {});
  else
    test(title("replaced services keep their names: a changed file, --force-recreate"), async () => {
      const before = await mixed().ids();
      const project = mixed(file("second"));
      await project.type("up -d");
      // Services that depend on a replaced one are replaced too by some versions.
      assert.ok((await project.ids()).filter((id) => before.includes(id)).length >= 3);
      for (const each of ["web", name("fixed")]) assert.ok((await addressesOfName(h2, each)).length > 0, each);
      await project.type("up -d --force-recreate");
      for (const each of ["web", name("fixed"), name("scaled"), name("both")])
        assert.ok((await addressesOfName(h2, each)).length > 0, each);
      assert.equal(await h1.type(`docker exec ${name("scaled")} hostname -f`), `${name("scaled")}.weave.local`);
      assert.doesNotMatch(await h1.type("weave status dns"), /[0-9a-f]{12}_/);
    });

  test(title("down leaves nothing of the project"), async () => {
    await mixed().type("down -v --remove-orphans");
    assert.equal(await h1.type("docker ps -aq"), "");
    assert.equal(await h1.type("weave status dns"), "");
    await until("weave ps shows no container", async () => (await h1.type("weave ps")).split("\n").length === 1);
  });

  test(title("by a flag of launch, services through the proxy are named after themselves"), async () => {
    await h1.ok("stop");
    await h1.launch(...DEFAULT_SUBNET_FLAGS, "--hostname-from-label", "com.docker.compose.service", "10.99.0.2");
    const project = mixed();
    await project.type("up -d --scale scaled=2 scaled");
    assert.equal((await addressesOfName(h2, "scaled")).length, 2);
    assert.match(await project.type("run --rm scaled ping -c 1 -W 5 scaled"), / 0% packet loss/);
    await project.type("down");
    await h1.ok("stop");
    await h1.launch(...DEFAULT_SUBNET_FLAGS, "10.99.0.2");
  });
}
