import assert from "node:assert/strict";
import { request } from "node:http";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { type DockerHost, networkThere } from "#test/lab/docker-host.js";
import { dockerTests, launchAll } from "#test/lab/docker-tests.js";
import { until } from "#test/lab/wait.js";

let host: DockerHost;
let atFirst: string;

const test = dockerTests(1, async (hosts) => {
  [host] = hosts;
  await launchAll(hosts);
  atFirst = await traces();
});

const socketOf = (driver: "weave" | "weavemesh") => host.path(`/run/docker/plugins/${driver}.sock`);
const PROXY = () => host.path("/run/weave/weave.sock");

interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

/** One call of the plugin, as Docker makes it. */
function call(path: string, body: unknown, socketPath = socketOf("weavemesh")): Promise<Answer> {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath, path, method: "POST", agent: false }, (response) => {
      let answer = "";
      response.setEncoding("utf8").on("data", (chunk) => {
        answer += chunk;
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body: JSON.parse(answer || "{}") }));
    });
    outgoing.on("error", reject);
    outgoing.end(text);
  });
}

/** Sends raw bytes to a socket. @returns the answer until it closes, or for a second */
const raw = (socketPath: string, ...parts: readonly (string | Buffer)[]): Promise<string> =>
  rawWithin(1_000, socketPath, parts);

function rawWithin(ms: number, socketPath: string, parts: readonly (string | Buffer)[]): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    let answer = "";
    const done = () => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    };
    const timer = setTimeout(done, ms);
    socket.on("data", (chunk) => {
      answer += chunk.toString("latin1");
    });
    socket.on("error", done);
    socket.on("close", done);
    for (const part of parts) socket.write(part);
  });
}

const id = (text: string) => text.padEnd(64, "0");

/** Everything that calls could leave behind: links, addresses, names. */
async function traces(): Promise<string> {
  const links = await host.type("ip -o link | sed 's/^[0-9]*: //; s/@.*//; s/:.*//' | sort");
  return JSON.stringify([links, (await host.api("GET", "/ip")).body, await host.ok("status", "dns")]);
}

/** Calls of the plugin that fail: path, body, status, key of the message, message. */
const ERRORS: [string, unknown, number, "Err" | "Error", RegExp][] = [
  [
    "/NetworkDriver.CreateEndpoint",
    { NetworkID: id("a"), EndpointID: id("b"), Interface: {} },
    400,
    "Err",
    /no network/,
  ],
  ["/NetworkDriver.Join", { NetworkID: id("a"), EndpointID: id("b"), SandboxKey: "/x" }, 400, "Err", /no network/],
  ["/NetworkDriver.CreateNetwork", {}, 400, "Err", /NetworkID/],
  ["/NetworkDriver.CreateNetwork", { NetworkID: "../../etc" }, 400, "Err", /NetworkID/],
  ["/NetworkDriver.CreateNetwork", { NetworkID: 7 }, 400, "Err", /NetworkID/],
  ["/NetworkDriver.CreateNetwork", "[]", 400, "Err", /body/],
  ["/NetworkDriver.CreateNetwork", "{", 400, "Err", /no JSON/],
  ["/IpamDriver.RequestAddress", { PoolID: "weave-1.2.3.4" }, 400, "Error", /no address pool/],
  [
    "/IpamDriver.RequestAddress",
    { PoolID: "weave-10.32.0.0/12-10.32.0.0/12", Address: "x" },
    400,
    "Error",
    /invalid IP address/,
  ],
  ["/IpamDriver.RequestPool", { Pool: "10.32.0.1/12" }, 400, "Error", /not all zero/],
  ["/IpamDriver.RequestPool", { Pool: "10.32.0.0/16", SubPool: "10.33.0.0/24" }, 500, "Error", /not within the subnet/],
  ["/IpamDriver.RequestPool", { Pool: "", V6: true }, 500, "Error", /IPv6/],
  ["/IpamDriver.RequestPool", { Pool: "x".repeat(5_000) }, 400, "Error", /Pool/],
  ["/NetworkDriver.CreateNetwork", `{"NetworkID":"${"x".repeat(2 << 20)}"}`, 413, "Err", /longer than/],
];

test("the plugin answers to the methods of each driver", async () => {
  assert.equal((await call("/NetworkDriver.Nothing", {})).status, 404);
  assert.deepEqual((await call("/Plugin.Activate", "")).body, { Implements: ["NetworkDriver", "IpamDriver"] });
  assert.deepEqual((await call("/Plugin.Activate", "", socketOf("weave"))).body, { Implements: ["NetworkDriver"] });
  assert.equal((await call("/IpamDriver.RequestPool", {}, socketOf("weave"))).status, 404, "not of that driver");
});

test("invalid calls of the plugin are errors under the key of the driver", async () => {
  for (const [path, body, status, key, words] of ERRORS) {
    const answer = await call(path, body);
    assert.equal(answer.status, status, `${path} ${JSON.stringify(body).slice(0, 80)}: ${JSON.stringify(answer.body)}`);
    assert.match(String(answer.body[key]), words);
  }
});

test("the plugin deletes and releases without an error what does not exist", async () => {
  for (const method of ["DeleteEndpoint", "Leave"])
    assert.equal((await call(`/NetworkDriver.${method}`, { NetworkID: id("a"), EndpointID: id("b") })).status, 200);
  assert.equal((await call("/NetworkDriver.DeleteNetwork", { NetworkID: id("a") })).status, 200);
  const address = { PoolID: "weave-10.32.0.0/12-10.32.0.0/12", Address: "10.32.0.77" };
  assert.equal((await call("/IpamDriver.ReleaseAddress", address)).status, 200);
});

test("an endpoint with the network's own address is an error", async () => {
  const IPv4Data = [{ AddressSpace: "LocalDefault", Pool: "10.32.0.0/12" }];
  await call("/NetworkDriver.CreateNetwork", { NetworkID: id("c"), IPv4Data });
  const endpoint = { NetworkID: id("c"), EndpointID: id("d"), Interface: { Address: "10.32.0.0/12" } };
  const odd = await call("/NetworkDriver.CreateEndpoint", endpoint);
  assert.equal(odd.status, 400);
  assert.match(String(odd.body.Err), /the network's own address/);
  await call("/NetworkDriver.DeleteNetwork", { NetworkID: id("c") });
});

test("the plugin survives rubbish, half requests, and clients that disconnect", async () => {
  const path = socketOf("weavemesh");
  assert.match(await raw(path, "rubbish\r\n\r\n"), /^HTTP\/1\.1 400/);
  await raw(path, Buffer.alloc(200_000, 0xff));
  await raw(path, "POST /NetworkDriver.CreateNetwork HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{");
  const chunked = `POST /Plugin.Activate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\n{}\r\n0\r\n\r\n`;
  assert.match(await raw(path, chunked), /Implements/);
  // A client requests an address, then an endpoint, and waits for neither answer.
  const pool = "weave-10.32.0.0/12-10.32.0.0/12";
  for (let i = 0; i < 20; i++) {
    const body = JSON.stringify({ PoolID: pool, Address: "", Options: {} });
    const socket = connect(path);
    socket.on("error", () => {});
    socket.write(
      `POST /IpamDriver.RequestAddress HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    await sleep(i % 5);
    socket.destroy();
  }
  await call("/NetworkDriver.CreateNetwork", { NetworkID: id("e"), IPv4Data: [{ AddressSpace: "weavelocal" }] });
  for (let i = 0; i < 10; i++) {
    const body = JSON.stringify({ NetworkID: id("e"), EndpointID: id(`f${i}`), Interface: {} });
    const socket = connect(path);
    socket.on("error", () => {});
    socket.write(
      `POST /NetworkDriver.CreateEndpoint HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    await sleep(i);
    socket.destroy();
  }
  await sleep(300);
  for (let i = 0; i < 10; i++)
    await call("/NetworkDriver.DeleteEndpoint", { NetworkID: id("e"), EndpointID: id(`f${i}`) });
  await call("/NetworkDriver.DeleteNetwork", { NetworkID: id("e") });
});

test("the proxy survives rubbish, clients that disconnect, large and chunked bodies", async () => {
  const path = PROXY();
  assert.match(await raw(path, "rubbish\r\n\r\n"), /^HTTP\/1\.1 400/);
  await raw(path, Buffer.alloc(2 << 20, 0xff));
  await raw(path, "POST /v1.41/containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{");
  await raw(path, "POST /v1.41/containers/x/attach HTTP/1.1\r\nHost: x\r\n");
  const odd = await raw(
    path,
    "POST /v1.41/containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1\r\nConnection: close\r\n\r\n[",
  );
  assert.match(odd, /^HTTP\/1\.1 [45]\d\d/, "Docker's own answer");
  // Old clients send a path as Host, and use the oldest version that the engine accepts.
  const oldest = await host.type("docker version -f '{{.Server.MinAPIVersion}}'");
  const old = await raw(
    path,
    `GET /v${oldest}/version HTTP/1.1\r\nHost: /var/run/docker.sock\r\nConnection: close\r\n\r\n`,
  );
  assert.match(old, /^HTTP\/1\.1 200 OK[\s\S]*ApiVersion/);
  const large = JSON.stringify({ Image: "busybox", Cmd: ["true"], Labels: { large: "x".repeat(5 << 20) } });
  const size = large.length.toString(16);
  // The engine closes the connection after its answer.
  const created = await rawWithin(30_000, path, [
    `POST /v1.41/containers/create?name=large HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n${size}\r\n${large}\r\n0\r\n\r\n`,
  ]);
  assert.match(created, /^HTTP\/1\.1 201/, "forwarded unchanged");
  await host.type("docker rm large");
  for (let i = 0; i < 5; i++) {
    const socket = connect(path);
    socket.on("error", () => {});
    await host.type(`docker -H unix:///run/weave/weave.sock create --name gone${i} busybox true`);
    socket.write(`POST /v1.41/containers/gone${i}/start HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n`);
    await sleep(i * 20);
    socket.destroy();
  }
  await until("they have ended", async () => (await host.type("docker ps -q")) === "");
  await host.type("docker rm -f gone0 gone1 gone2 gone3 gone4");
});

test("a launch fails when a file or a living process has the socket's path", { timeout: 180_000 }, async () => {
  await host.ok("stop");
  await host.type("echo precious > /run/docker/plugins/weave.sock");
  const taken = await host.weave("launch");
  assert.equal(taken.code, 1);
  assert.match(taken.stderr, /cannot listen on \/run\/docker\/plugins\/weave\.sock: it is a file, not a socket/);
  assert.equal(await host.type("cat /run/docker/plugins/weave.sock"), "precious");
  assert.equal(
    (await host.shell("ls /run/docker/plugins/weavemesh.sock /run/weave/weave.sock")).stdout,
    "",
    "nothing listens",
  );
  await host.type("rm /run/docker/plugins/weave.sock");
  const other = host.spawn([
    "node",
    "-e",
    "require('http').createServer().listen('/run/docker/plugins/weavemesh.sock')",
  ]);
  await until("it listens", async () => (await host.shell("ls /run/docker/plugins/weavemesh.sock")).code === 0);
  const living = await host.weave("launch");
  assert.equal(living.code, 1);
  assert.match(living.stderr, /cannot listen on \/run\/docker\/plugins\/weavemesh\.sock: another process uses it/);
  const ended = new Promise((resolve) => other.once("close", resolve));
  await host.shell("pkill -9 -f weavemesh.sock");
  await ended;
  await host.launch();
  await networkThere(host);
});

test("calls fail when the engine dies, and succeed when it is back", { timeout: 180_000 }, async () => {
  const waiting = host.shell("docker -H unix:///run/weave/weave.sock run --rm --name midway busybox sleep 30");
  const following = host.shell("docker -H unix:///run/weave/weave.sock events");
  await until("it runs", async () => (await host.shell("docker ps --format '{{.Names}}'")).stdout.includes("midway"));
  await host.stopEngine("KILL");
  for (const result of await Promise.all([waiting, following])) assert.notEqual(result.code, 0);
  const away = await host.shell("docker -H unix:///run/weave/weave.sock ps");
  assert.match(away.stderr, /Cannot connect to the Docker engine at unix:\/\/\/var\/run\/docker\.sock/);
  const hijack = await host.shell("docker -H unix:///run/weave/weave.sock exec midway true");
  assert.match(hijack.stderr, /Cannot connect to the Docker engine/);
  assert.match(await host.ok("status"), /Problem: .*Cannot connect to the Docker engine|Problem: .*engine/);
  await host.startEngine();
  await until("it is followed again", async () => !(await host.ok("status")).includes("Problem"));
  await host.type("docker rm -f midway; docker -H unix:///run/weave/weave.sock run --rm busybox ip link show ethwe");
});

test("without a router the proxy rejects connections immediately, and plain Docker works", async () => {
  await host.ok("stop");
  const began = Date.now();
  const refused = await host.shell("docker -H unix:///run/weave/weave.sock run --rm busybox true");
  assert.notEqual(refused.code, 0);
  assert.ok(Date.now() - began < 5_000);
  await host.type("docker run --rm busybox true");
});

// The last: addresses of ended containers are kept for 30 s, and so are those that Docker never received.
test("nothing is left of all calls: links, addresses, names", { timeout: 180_000 }, async () => {
  await host.launch();
  await networkThere(host);
  await until("nothing is left", async () => (await traces()) === atFirst, 60_000).catch(async () => {
    assert.equal(await traces(), atFirst);
  });
});
