import assert from "node:assert/strict";
import { request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { type DockerHost, networkThere } from "#test/lab/docker-host.js";
import {
  addressOf,
  DEFAULT_SUBNET_FLAGS,
  dockerTests,
  MESH_DRIVERS as MESH,
  PROXY_ENV,
  refused,
} from "#test/lab/docker-tests.js";
import { engineAtLeast } from "#test/lab/engine.js";
import { connected, until } from "#test/lab/wait.js";

/** Tests how long addresses of the plugin, the proxy and `attach` are held. */
let h1: DockerHost;
let h2: DockerHost;

/** The second host's drivers have other names: those of its sockets. */
const SOCKETS = [
  "--plugin-socket",
  "/run/docker/plugins/wv.sock",
  "--plugin-mesh-socket",
  "/run/docker/plugins/wvmesh.sock",
];
/** An address that Docker or an ended container no longer has is free after 30 s; the check runs every 15 s. */
const LONG_ENOUGH_MS = 48_000;
const run = (name: string, ...flags: string[]): string =>
  `docker run -d --name ${name} --stop-signal KILL ${flags.join(" ")} busybox sleep 6000`;

const test = dockerTests(2, async (hosts) => {
  [h1, h2] = hosts;
  await h1.launch(...DEFAULT_SUBNET_FLAGS);
  await h2.launch(...DEFAULT_SUBNET_FLAGS, ...SOCKETS, "10.99.0.1");
  await connected(h1, 1);
  await networkThere(h1);
  await networkThere(h2, "wvmesh");
});

/** Addresses of a container's interface in the overlay. */
const addressesIn = async (host: DockerHost, container: string): Promise<string[]> =>
  [...(await host.type(`docker exec ${container} ip -4 -o addr show`)).matchAll(/ethwe\d? +inet ([\d.]+)/g)].map(
    ([, address]) => address,
  );

/** Starts a container through the proxy. @returns its address */
async function proxied(host: DockerHost, name: string, cidr: string): Promise<string> {
  await host.type(`${PROXY_ENV} ${run(name, "-e", `WEAVE_CIDR=${cidr}`)}`);
  const [address] = await addressesIn(host, name);
  return address;
}

/** Calls the plugin as Docker does. */
function callPlugin(host: DockerHost, path: string, body: object): Promise<string> {
  return new Promise((resolve, reject) => {
    const socketPath = host.path("/run/docker/plugins/wvmesh.sock");
    const sent = request({ socketPath, path, method: "POST" }, (response) => {
      let text = "";
      response.on("data", (chunk) => {
        text += chunk;
      });
      response.on("end", () => resolve(text));
    });
    sent.on("error", reject);
    sent.end(JSON.stringify(body));
  });
}

const MESH2 = "--driver wvmesh --ipam-driver wvmesh";
const STRANGER = "abcdef0123".padEnd(64, "0");
/** The addresses of each holder at the start. */
const was: Record<string, string> = {};
let began = 0;

test("holders of addresses of all kinds start", { timeout: 120_000 }, async () => {
  const aux = "--subnet 10.46.0.0/28 --gateway 10.46.0.1";
  await h1.type(`docker network create ${MESH} ${aux} --aux-address router=10.46.0.2 aux`);
  await h2.type(`docker network create ${MESH2} ${aux} --aux-address router=10.46.0.2 aux`);

  await h1.type("docker network create --ipam-driver weavemesh --subnet 10.45.0.0/24 foreign");
  await h1.type(run("foreign1", "--network foreign"));
  was.foreign = await addressOf(h1, "foreign1", "foreign");

  // Three sidecars: one stays, one ends, and the app of one is started again.
  for (const name of ["app", "brief", "again"]) {
    was[name] = await proxied(h1, name, "net:10.34.0.0/27");
    await h1.type(run(`${name}-side`, `--network container:${name}`));
  }
  // An attached container in the namespace of another one.
  await h1.type(run("plain"));
  await h1.type(run("plain-side", "--network container:plain"));
  was.attached = await h1.type("weave attach net:10.34.0.0/27 plain-side");
  await h1.type("docker kill app brief again plain-side && docker kill brief-side");

  // A stopped container that will request its address again.
  await proxied(h1, "stopped", "10.38.0.1/29");
  await h1.type("docker kill stopped");

  // A driver of another name, and an interface in a container that Docker does not show.
  await h2.type(run("renamed", "--network weave"));
  was.renamed = await addressOf(h2, "renamed", "weave");
  const NetworkID = await h2.type("docker network inspect -f '{{.Id}}' weave");
  const endpoint = { NetworkID, EndpointID: STRANGER };
  await callPlugin(h2, "/NetworkDriver.CreateEndpoint", { ...endpoint, Interface: { Address: "10.32.77.7/16" } });
  const { InterfaceName } = JSON.parse(await callPlugin(h2, "/NetworkDriver.Join", endpoint));
  await h2.type(`ip netns add stranger && ip link set ${InterfaceName.SrcName} netns stranger name ethwe0`);

  // The router must know all of this also after a restart.
  await h1.killRouter();
  await until("its router answers", async () => (await h1.weave("status")).code === 0);
  // The other host dials again with growing delays; until then it does not receive what this one claims.
  await connected(h1, 1, 30_000);
  began = Date.now();
});

test("an app that starts again moves its address out of the sidecar's old namespace", async () => {
  await h1.type("docker start again");
  await until("it has its address", async () => (await addressesIn(h1, "again")).join() === was.again);
  await until("the old namespace has lost it", async () => (await addressesIn(h1, "again-side")).length === 0);
});

test("--ip with the address of a container of the proxy is refused, naming the container", async () => {
  const address = await proxied(h1, "holder", "net:10.32.0.0/16");
  const why = await refused(h1, `docker run --rm --network weave --ip ${address} busybox true`);
  assert.match(why, new RegExp(`${address} already in use on this host, by container holder \\([0-9a-f]{12}\\)`));
  await h1.type("docker rm -f holder");
});

test("a duplicate of an IPv6 address that Docker chose on another host is refused", async () => {
  const make = (driver: string) =>
    `docker network create --driver ${driver} --ipv6 --subnet 192.168.79.0/24 --subnet fd00:90::/64 six`;
  await h1.type(make("weave"));
  await h2.type(make("wv"));
  await h1.type(run("six1", "--network six"));
  const line = "docker run --rm --network six --ip 192.168.79.9 busybox true";
  const why = await refused(h2, line);
  // As of IPv4: engines since 28 reserve no address for a gateway.
  const first = engineAtLeast(28) ? "fd00:90::1" : "fd00:90::2";
  assert.ok(why.includes(`${first} is in use on another host, 02:00:00:00:00:01(h1)`), why);
  await h2.type(line.replace("--rm", "--rm --ip6 fd00:90::99"));
  await h1.type("docker rm -f six1");
  await until("it is free for the other host", async () => (await h2.shell(line)).code === 0);
  for (const host of [h1, h2]) await host.type("docker network rm six");
});

test("an address that moves to another container is announced", async () => {
  const subnet = "10.35.0.0/24";
  await h1.type(`docker network create ${MESH} --subnet ${subnet} reuse`);
  await proxied(h2, "pinger", "10.35.0.9/24");
  const answers = async (what: string) => {
    const { code, stdout } = await h2.shell("docker exec pinger ping -c 1 -W 1 10.35.0.7");
    assert.equal(code, 0, `${what}: ${stdout}`);
  };
  const attached = async (name: string) => {
    await h1.type(run(name));
    await h1.type(`weave attach 10.35.0.7/24 ${name}`);
  };
  const ways: Readonly<Record<string, (name: string) => Promise<unknown>>> = {
    proxy: (name) => proxied(h1, name, "10.35.0.7/24"),
    plugin: (name) => h1.type(run(name, "--network reuse", "--ip 10.35.0.7")),
    attach: attached,
  };
  const order = ["proxy", "plugin", "attach", "plugin", "proxy", "attach"];
  for (const [index, way] of order.entries()) {
    await ways[way](`reuse${index}`);
    await answers(`${way} after ${order[index - 1]}`);
    await h1.type(`docker rm -f reuse${index}`);
  }
});

test("an address that a stopped container requested by --ip is allocated to others last", async () => {
  await h1.type(`docker network create ${MESH} --subnet 10.36.0.0/29 wished`);
  await h1.type(run("owner", "--network wished", "--ip 10.36.0.1"));
  await h1.type("docker kill owner");
  for (const name of ["w2", "w3", "w4", "w5", "w6"]) {
    await h1.type(run(name, "--network wished"));
    assert.notEqual(await addressOf(h1, name, "wished"), "10.36.0.1");
  }
  await h1.type("docker start owner && docker kill owner");
  await h1.type(run("last", "--network wished"));
  assert.equal(await addressOf(h1, "last", "wished"), "10.36.0.1", "there is no other");
  await h1.type("docker rm -f owner last w2 w3 w4 w5 w6 && docker network rm wished");
});

test("the user chooses the name of an interface; with an older engine the log warns", async () => {
  const named = "--network name=weave,driver-opt=com.docker.network.endpoint.ifname=eth9";
  const links = await h1.type(`docker run --rm ${named} busybox ip -o link`);
  assert.match(links, engineAtLeast(29) ? / eth9@/ : / ethwe0@/);
  assert.equal(/"eth9".*names the interface itself/.test(h1.log()), !engineAtLeast(29));
  const odd = "docker run --rm --network name=weave,driver-opt=com.docker.network.endpoint.ifname=a/b busybox true";
  assert.match(await refused(h1, odd), /cannot be the name of an interface/);
});

test("on a swarm manager the log warns that a network of the plugin is local to this host", async () => {
  await h1.type("docker swarm init --advertise-addr 10.99.0.1");
  await h1.type(`docker network create ${MESH} --subnet 10.37.0.0/24 manager`);
  await until("the log warns", async () => /"?manager"?.*local/.test(h1.log()));
  assert.match(await h1.ok("status"), /Swarm: /);
  await h1.type("docker run --rm --network manager busybox true");
  await h1.type("docker network rm manager && docker swarm leave --force");
});

/** Report of the addresses held when all grace periods have passed. */
let held: string;

test("the time passes after which unused addresses are free", { timeout: 180_000 }, async () => {
  await sleep(Math.max(0, began + LONG_ENOUGH_MS - Date.now()));
  held = (await h1.api("GET", "/ip")).body;
});

test("the address of an ended container stays held while its sidecar has it", async () => {
  assert.deepEqual(await addressesIn(h1, "app-side"), [was.app]);
  assert.match(held, new RegExp(`"${was.app}/`));
  const why = await refused(h1, `${PROXY_ENV} docker run --rm -e WEAVE_CIDR=${was.app}/27 busybox true`);
  assert.match(why, new RegExp(`${was.app} is already owned by`));
});

test("the address of an ended container is free when its sidecar has ended", async () => {
  assert.doesNotMatch(held, new RegExp(`"${was.brief}/`));
});

test("the address of an ended container stays held while another shares its namespace", async () => {
  assert.deepEqual(await addressesIn(h1, "plain"), [was.attached]);
  assert.match(held, new RegExp(`"${was.attached}/`));
});

test("the address that a stopped container requested is allocated to others last", async () => {
  assert.doesNotMatch(held, /"10\.38\.0\.1\//);
  assert.notEqual(await proxied(h1, "stopped2", "net:10.38.0.0/29"), "10.38.0.1");
  await h1.type("docker start stopped");
  await until("it has its address", async () => (await addressesIn(h1, "stopped")).join() === "10.38.0.1");
});

test("an auxiliary address and an explicit gateway are held while their network exists", async () => {
  assert.match(await refused(h1, "docker run --rm --network aux --ip 10.46.0.2 busybox true"), /auxiliary address/);
  assert.match(await refused(h1, "docker run --rm --network aux --ip 10.46.0.1 busybox true"), /as the gateway/);
  assert.match(await refused(h2, "docker run --rm --network aux --ip 10.46.0.2 busybox true"), /auxiliary address/);
  for (const [index, host] of [h1, h2, h1, h2].entries()) {
    await host.type(run(`aux${index}`, "--network aux"));
    assert.match(await addressOf(host, `aux${index}`, "aux"), /^10\.46\.0\.([3-9]|1[0-4])$/);
  }
  await h1.type("docker rm -f aux0 aux2 && docker network rm aux");
  await h2.type("docker rm -f aux1 aux3 && docker network rm aux");
  const free = (await h1.api("GET", "/ip")).body;
  assert.doesNotMatch(free, /10\.46\.0\.[12]\//, "they are free when their network is gone");
});

test("the address of a container on a network of another driver is held", async () => {
  await h1.type(run("foreign2", "--network foreign"));
  assert.notEqual(await addressOf(h1, "foreign2", "foreign"), was.foreign);
  const again = `docker run --rm --network foreign --ip ${was.foreign} busybox true`;
  assert.match(await refused(h1, again), new RegExp(`${was.foreign} already in use`));
  await h1.type("docker rm -f foreign1 foreign2 && docker network rm foreign");
  assert.doesNotMatch((await h1.api("GET", "/ip")).body, /10\.45\.0\./);
});

test("a driver of another name keeps the interface of a running container", async () => {
  assert.deepEqual(await addressesIn(h2, "renamed"), [was.renamed]);
  await h2.killRouter();
  await until("its plugin answers", async () => (await h2.weave("status")).code === 0);
  await h2.type("docker restart -t 0 renamed");
  assert.match(await addressOf(h2, "renamed", "weave"), /^10\.32\./);
});

test("an interface that Docker does not show stays while a container has it", async () => {
  await h2.type("ip netns exec stranger ip link show ethwe0");
  await h2.type("ip netns del stranger");
});
