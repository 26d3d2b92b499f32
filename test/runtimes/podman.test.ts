import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { PROXY_ENV } from "#test/lab/docker-tests.js";
import type { Lab } from "#test/lab/lab.js";
import { type PodmanHost, podmanLab, podmanTestsImpossible } from "#test/lab/podman-host.js";
import { connected, until } from "#test/lab/wait.js";

/** Two hosts with Podman: by its service through the proxy, and by `weave attach`. */

const skip = podmanTestsImpossible() ?? false;
let lab: Lab<PodmanHost> | undefined;
let h1: PodmanHost;
let h2: PodmanHost;

before(async () => {
  if (skip !== false) return;
  lab = await podmanLab(2);
  [h1, h2] = lab.hosts;
  await h1.podman("network create other");
  await h1.launch();
  await h2.launch(h1.address);
  await connected(h1, 1);
});
after(() => lab?.dispose());

/** The lines of `weave status dns` for this host's containers, each "name address". */
const namesOn = async (host: PodmanHost): Promise<string[]> =>
  (await host.ok("status", "dns"))
    .split("\n")
    .filter((line) => line.includes(host.peerName))
    .map((line) => line.split(/ +/).slice(0, 2).join(" "));

/** `weave ps` without the host itself: by the first digits of ids, the addresses. */
const attachedOn = async (host: PodmanHost): Promise<string[]> =>
  (await host.ok("ps"))
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("weave:expose"))
    .map((line) => line.split(" ").toSpliced(1, 1).join(" "));

const idOf = async (host: PodmanHost, name: string): Promise<string> =>
  (await host.podman(`inspect -f '{{.Id}}' ${name}`)).slice(0, 12);

const reaches = (host: PodmanHost, container: string, target: string): Promise<string> =>
  host.podman(`exec --privileged ${container} ping -c 1 -W 5 ${target}`);

test("a launch without Docker finds Podman's service, and serves no plugin", { skip, timeout: 180_000 }, async () => {
  const status = await h1.ok("status");
  assert.match(status, /Service: proxy\n +Address: unix:\/\/\/var\/run\/weave\/weave\.sock\n +Engine: podman \d+\.\d+/);
  assert.doesNotMatch(status, /plugin|Problem/);
  // weaveDNS has an address before there is a container, and so a bridge.
  assert.match(await h1.type("ip -4 -o address show dev lo label lo:weave"), /inet 10\.88\.0\.1\/32/);
});

test("containers of the proxy have addresses and names across hosts", { skip, timeout: 180_000 }, async () => {
  await h1.type(`${PROXY_ENV} docker run -d --name web busybox sleep 600`);
  assert.equal(
    await h2.type(`${PROXY_ENV} docker run --rm --cap-add NET_RAW --name client busybox hostname`),
    "client.weave.local",
  );
  assert.match(
    await h2.type(`${PROXY_ENV} docker run --rm --cap-add NET_RAW busybox ping -c 1 -W 5 web`),
    /1 packets received/,
  );
  assert.equal(await h1.type(`${PROXY_ENV} docker exec web cat /sys/class/net/ethwe/operstate`), "up");
  assert.deepEqual(await attachedOn(h1), [`${await idOf(h1, "web")} 10.32.0.1/12`]);
  // A container of the default network finds weaveDNS; Podman's other networks keep their own name server.
  assert.match(await h1.podman("run --rm --network other --name self busybox nslookup self"), /10\.89\.\d+\.\d+$/m);
});

test("containers on no network of Podman's act as a peer of this host", { skip, timeout: 180_000 }, async () => {
  for (const network of ["podman", "other"]) {
    const { stderr } = await h1.shell(
      `podman run --rm --network ${network} busybox nc -w 2 ${h1.address} 6783 < /dev/null`,
    );
    assert.match(stderr, /timed out/, network);
  }
});

test("a container of the podman command is attached by name and by id, and its end is seen", {
  skip,
  timeout: 180_000,
}, async () => {
  await h1.podman("run -d --rm --name native --hostname native.weave.local $(weave dns-args) busybox sleep 600");
  const address = (await h1.ok("attach", "native")).trim();
  assert.equal((await h1.ok("attach", await idOf(h1, "native"))).trim(), address);
  assert.ok((await namesOn(h1)).includes(`native ${address}`));
  await reaches(h1, "native", "web");
  await h1.podman("kill native");
  await until("its name is gone", async () => !(await namesOn(h1)).some((line) => line.startsWith("native")));
  assert.equal((await attachedOn(h1)).length, 1);
});

test("a pod has one attachment, which its members share and which stays when they end", {
  skip,
  timeout: 180_000,
}, async () => {
  await h2.podman("pod create --name shop --hostname shop.weave.local");
  for (const name of ["one", "two"]) await h2.podman(`run -d --pod shop --name ${name} busybox sleep 600`);
  const address = (await h2.ok("attach", "one")).trim();
  assert.equal((await h2.ok("attach", "two")).trim(), address);
  const infra = (await h2.podman("pod inspect -f '{{.InfraContainerID}}' shop")).slice(0, 12);
  assert.deepEqual(await attachedOn(h2), [`${infra} ${address}/12`]);
  await reaches(h1, "web", "shop");

  await h2.podman("kill one");
  await h2.podman("rm one");
  await until("one name is left", async () => (await namesOn(h2)).length === 1);
  await h2.podman("restart -t 0 two");
  await until("the name is back", async () => (await namesOn(h2)).includes(`shop ${address}`));
  await reaches(h1, "web", address);

  await h2.ok("detach", "two");
  assert.deepEqual([await attachedOn(h2), await namesOn(h2)], [[], []]);
  await h2.podman("pod rm -f -t 0 shop");
});

test("a container of the proxy keeps its address when it is restarted, and while the service is away", {
  skip,
  timeout: 180_000,
}, async () => {
  const [before] = await attachedOn(h1);
  await h1.podman("restart -t 0 web");
  await until("it is attached again", async () => (await attachedOn(h1))[0] === before);
  await h1.stopEngine();
  await until("the end of the service is shown", async () => /Problem: .*Podman's service/.test(await h1.ok("status")));
  await reaches(h1, "web", "web");
  await h1.podman("run -d --name meanwhile busybox sleep 600");
  await h1.startEngine();
  await until("it is followed again", async () => !/Problem/.test(await h1.ok("status")));
  await reaches(h1, "web", (await h1.ok("attach", "meanwhile")).trim());
  await h1.podman("kill web");
  await until("its end is seen", async () => !(await namesOn(h1)).some((line) => line.startsWith("web")));
  await h1.podman("start web");
  await until("it is attached again", async () => (await attachedOn(h1)).includes(before));
});

test("a stop removes the address of weaveDNS, and a reset one that a killed router has left", { skip }, async () => {
  const left = () => h2.type("ip -4 -o address show dev lo label lo:weave");
  await h2.ok("stop");
  assert.equal(await left(), "");
  await h2.type("ip address add 10.88.0.1/32 dev lo label lo:weave");
  await h2.ok("reset", "--force");
  assert.equal(await left(), "");
});
