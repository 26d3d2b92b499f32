import assert from "node:assert/strict";
import { type DockerHost, networkThere } from "#test/lab/docker-host.js";
import { dockerTests, PROXY_ENV as ENV, launchAll } from "#test/lab/docker-tests.js";
import { until } from "#test/lab/wait.js";

/** Tests the proxy with unusual containers. */
let host: DockerHost;

let archive: string;
const test = dockerTests(1, async (hosts, lab) => {
  [host] = hosts;
  archive = `${lab.folder}/busybox.tar`;
  await launchAll(hosts);
});

test("the user's own mounts at /w and at the helper's folder stay", async () => {
  const own = "-v /etc:/w --tmpfs /.weave";
  const output = await host.type(
    `${ENV} docker run --rm ${own} busybox sh -c 'ls /w/hostname; ls /.weave; ip -o link show ethwe'`,
  );
  assert.match(output, /^\/w\/hostname\n\d+: ethwe/);
});

test("a container's program may have any user", async () => {
  assert.equal(await host.type(`${ENV} docker run --rm --user 1234:1234 busybox id -u`), "1234");
});

test("docker exec does not wait after detach, nor in a container that cannot be attached", async () => {
  await host.type(`${ENV} docker run -d --name detached busybox sleep 600; weave detach detached`);
  assert.equal(await host.type(`${ENV} timeout 15 docker exec detached echo there`), "there");
  // Another container has its address. A start past the proxy succeeds, and the attachment is retried.
  await host.type(`${ENV} docker run -d --name first -e WEAVE_CIDR=10.2.7.7/24 busybox sleep 600`);
  await host.type(`${ENV} docker create --name second -e WEAVE_CIDR=10.2.7.7/24 busybox sleep 600`);
  await host.type("docker start second");
  assert.equal(await host.type(`${ENV} timeout 30 docker exec second echo there`), "there");
  // The same after a restart of the router.
  await host.killRouter();
  await until("it answers again", async () => (await host.weave("status")).code === 0);
  for (const name of ["detached", "first", "second"])
    assert.equal(await host.type(`${ENV} timeout 30 docker exec ${name} echo there`), "there", name);
  await host.type("docker rm -f detached first second");
});

test("an image made of a container runs with and without weave", async () => {
  await host.type(`${ENV} docker run --name source --entrypoint echo busybox said`);
  await host.type(`${ENV} docker commit source sound && docker commit -c 'CMD ["changed"]' source changed`);
  const words = (image: string) => host.type(`docker inspect -f '{{.Config.Entrypoint}} {{.Config.Cmd}}' ${image}`);
  assert.equal(await words("sound"), "[echo] [said]");
  assert.equal(await words("changed"), "[echo] [changed]");
  assert.equal(await host.type("docker run --rm sound"), "said");
  await host.type("docker commit source baked");
  assert.match(await words("baked"), /\/w echo/);
  for (const network of ["bridge", "host", "weave"])
    assert.equal(await host.type(`${ENV} docker run --rm --net ${network} baked`), "said", network);
  await host.type("docker rm source");
});

test("a container with a dot in its name is found by the name", async () => {
  await host.type(`${ENV} docker run -d --name www.app busybox sleep 600`);
  assert.equal(await host.type("docker exec www.app hostname -f"), "www.app.weave.local");
  for (const name of ["www.app", "www.app.weave.local"]) {
    assert.match(await host.type(`docker exec www.app ping -c 1 -W 5 ${name}`), /1 packets received/);
    assert.match(
      await host.type(`${ENV} docker run --rm --name other busybox ping -c 1 -W 5 ${name}`),
      /1 packets rec/,
    );
  }
  await host.type("docker rm -f www.app");
});

test("names by dns-add survive a restart of the container", async () => {
  await host.type(`${ENV} docker run -d --name named busybox sleep 600; weave dns-add named -h extra.weave.local`);
  const address = await host.type("weave dns-lookup extra");
  await host.type(`${ENV} docker restart -t 0 named`);
  assert.notEqual(address, "");
  await until("its name is back", async () => (await host.type("weave dns-lookup extra")) === address);
  await host.type("docker rm -f named");
  await until("it is gone", async () => (await host.type("weave dns-lookup extra")) === "");
});

test("docker run warns of options that have no effect", async () => {
  const warned = async (args: string) => (await host.shell(`${ENV} docker run --rm ${args} busybox true`)).stderr;
  assert.match(await warned("--dns 8.8.8.8"), /queries 8\.8\.8\.8 \(--dns\) before weaveDNS/);
  await host.type("docker network create users");
  assert.match(await warned("--net users -e WEAVE_CIDR=10.2.8.8/24"), /WEAVE_CIDR has no effect with --network users/);
  await host.type(
    "docker network create --internal --driver weavemesh --ipam-driver weavemesh --subnet 10.45.0.0/16 closed",
  );
  assert.match(await warned("--net closed"), /names of other hosts do not resolve on closed: it is --internal/);
  assert.equal(await warned(""), "");
  await host.type("docker network rm users closed");
});

test("with userns-remap a container has its name in our domain", async () => {
  await host.stopEngine();
  await host.startEngine("--userns-remap=default");
  await host.loadImage(archive);
  await networkThere(host);
  const output = await host.type(
    `${ENV} docker run --rm --name mapped busybox sh -c 'hostname -f; ip -o link show ethwe'`,
  );
  assert.match(output, /^mapped\.weave\.local\n\d+: ethwe/);
});
