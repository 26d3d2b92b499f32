import assert from "node:assert/strict";
import type { DockerHost } from "#test/lab/docker-host.js";
import { dockerTests } from "#test/lab/docker-tests.js";

/** Runs the commands of books on Docker unchanged, on two hosts with real engines. */

let node01: DockerHost;
let node02: DockerHost;

const test = dockerTests(2, async (hosts) => {
  [node01, node02] = hosts;
  for (const host of hosts) await host.type("docker tag busybox alpine; docker tag busybox ubuntu");
});

test("launch on each node, connect, and app01 and app02 ping each other by name", { timeout: 180_000 }, async () => {
  const prepare = "export CHECKPOINT_DISABLE=1\nweave launch\neval $(weave env)";
  await node01.type(`${prepare}\nweave connect ubuntu-node02`);
  await node02.type(prepare);
  assert.match(await node01.type("docker network ls"), /weave +weavemesh +local/);
  const environment = "eval $(weave env)\n";
  await node01.type(`${environment}docker container run -d --name app01 alpine tail -f /dev/null`);
  await node02.type(`${environment}docker container run -d --name app02 alpine tail -f /dev/null`);
  const ping = (from: string, to: string) =>
    `${environment}script -qec 'docker container exec -it ${from} ping -c 4 ${to}' /dev/null`;
  for (const output of [await node02.type(ping("app02", "app01")), await node01.type(ping("app01", "app02"))])
    assert.match(output, /4 packets transmitted, 4 packets received, 0% packet loss/);
});

test("when launch returns, Docker has the network weave: the next command of a script can use it", async () => {
  for (let i = 0; i < 5; i++)
    assert.equal(
      await node01.type("weave stop; weave launch >/dev/null && docker network inspect -f '{{.Name}}' weave"),
      "weave",
    );
  await node01.type("weave connect ubuntu-node02");
});

test("docker-bridge-ip, and short names of a sub-domain", { timeout: 180_000 }, async () => {
  assert.equal(
    await node01.type("weave docker-bridge-ip"),
    await node01.type("ip -4 -o addr show docker0 | sed 's/.*inet \\([0-9.]*\\).*/\\1/'"),
  );
  const environment = "eval $(weave env)\n";
  await node01.type(`${environment}docker run -d --name tre -h tre.sub1.weave.local alpine tail -f /dev/null`);
  await node02.type(`${environment}docker run -d --name foo -h foo.sub1.weave.local alpine tail -f /dev/null`);
  const pings = await node02.type(`${environment}docker exec foo sh -c 'ping -c 1 tre && ping -c 1 app01'`);
  assert.equal(pings.match(/ 0% packet loss/g)?.length, 2);
  await node01.type("docker rm -f tre");
  await node02.type("docker rm -f foo");
});

test("docker network create --driver weave mynet, and docker run --network=mynet", async () => {
  await node01.type("docker network create --driver weave mynet");
  assert.equal(
    await node01.type("docker exec $(docker run -d --network=mynet busybox top) ip -o link | grep -c ethwe0"),
    "1",
  );
  await node01.type(
    "docker network create -d weave --subnet=172.30.0.0/24 --ip-range=172.30.0.0/28 --gateway=172.30.0.254 specifics-over",
  );
  assert.equal(
    await node01.type("docker network inspect specifics-over --format '{{json .IPAM.Config}}'"),
    '[{"Subnet":"172.30.0.0/24","IPRange":"172.30.0.0/28","Gateway":"172.30.0.254"}]',
  );
  const address = await node01.type("docker run --rm --network specifics-over busybox ip -o -4 addr show ethwe0");
  assert.match(address, /inet 172\.30\.0\.(\d|1[0-5])\/24/);
});

test("launch with the first node's name, weave proxy-env, and ifconfig shows ethwe", async () => {
  await node01.type("weave reset");
  await node02.type("weave reset");
  const HOST1 = "10.99.0.1";
  const run = (name: string) => `docker run --name ${name} -ti ubuntu ifconfig`;
  const c1 = await node01.type(`weave launch\neval $(weave proxy-env)\nscript -qec '${run("c1")}' /dev/null`);
  const c2 = await node02.type(`weave launch ${HOST1}\neval $(weave proxy-env)\nscript -qec '${run("c2")}' /dev/null`);
  for (const output of [c1, c2]) {
    assert.match(output, /eth0 +Link encap:Ethernet/);
    assert.match(output, /ethwe +Link encap:Ethernet[\s\S]*inet addr:10\.\d+\.\d+\.\d+ .*Mask:255\.240\.0\.0/);
  }
});
