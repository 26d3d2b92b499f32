import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { checkEngine } from "#cli/launch/check-engine.js";
import { completeDocker } from "#cli/launch/docker-options.js";
import { parseLaunch } from "#cli/launch/launch-flags.js";
import { clientTls } from "#docker/engine/client-tls.js";
import { parseEngineAddress } from "#docker/engine/engine-address.js";
import { openListeners } from "#docker/proxy/open-listeners.js";
import { ApiProxy } from "#docker/proxy/proxy.js";
import { proxyStatusBlock } from "#router/docker/status.js";
import { silentLog } from "#src/log.js";

const folder = mkdtempSync(join(tmpdir(), "weave-flags-"));
after(() => rmSync(folder, { recursive: true, force: true }));
for (const name of ["ca", "cert", "key"]) writeFileSync(join(folder, `${name}.pem`), name);
mkdirSync(join(folder, "proc", "1"), { recursive: true });
mkdirSync(join(folder, "etc", "docker"), { recursive: true });

const SOCKET = ["--docker-api", "unix:///var/run/docker.sock"];
const docker = (args: string[], env: NodeJS.ProcessEnv = {}) =>
  parseLaunch(["--no-detect-tls", ...args], env).options.docker;

test("the proxy listens on the network only with --tlsverify or --insecure-proxy", () => {
  for (const address of ["tcp://0.0.0.0:12375", ":12375", "tcp://10.0.0.1:12375", "192.168.1.1:1"]) {
    for (const tls of [[], ["--tls"]])
      assert.throws(() => docker([...SOCKET, ...tls, "-H", address]), {
        code: "WEAVE_FLAG_INVALID",
        message: /root on this host/,
        next: /--tlsverify.*--insecure-proxy/,
      });
    assert.equal(docker([...SOCKET, "-H", address, "--tlsverify"]).tls, "verify");
    const open = docker([...SOCKET, "-H", address, "--insecure-proxy"]);
    assert.deepEqual(openListeners(open, { socketPath: "/x" }), [address]);
  }
  for (const address of ["tcp://127.0.0.1:12375", "localhost:1", "127.9.9.9:1", "unix:///a.sock"])
    assert.deepEqual(openListeners(docker([...SOCKET, "-H", address]), { socketPath: "/x" }), []);
  assert.ok(docker([...SOCKET, "-H", ":12375", "--no-proxy"]));
});

test("status shows which addresses are open", () => {
  const [open, own] = ["tcp://0.0.0.0:12375", "unix:///var/run/weave/weave.sock"];
  const lines = proxyStatusBlock({ Addresses: [own, open], Open: [open] }).split("\n");
  assert.match(lines[1], /weave\.sock$/);
  assert.match(lines[2], /12375 \(open to everyone who reaches it: --insecure-proxy\)$/);
});

test("the router itself rejects such a listener too", async () => {
  const options = { ...docker(SOCKET), listen: ["tcp://0.0.0.0:1"] };
  const deps = { engine: { socketPath: "/x" }, log: silentLog };
  await assert.rejects(ApiProxy.open(deps, options), { code: "WEAVE_FLAG_INVALID" });
});

test("clients without a certificate are rejected if the engine requires one", () => {
  const env = { DOCKER_TLS_VERIFY: "1", DOCKER_CERT_PATH: folder, DOCKER_HOST: "tcp://127.0.0.1:2376" };
  assert.deepEqual(docker([], env).listen, ["unix:///var/run/weave/weave.sock"]);
  assert.throws(() => docker(["-H", "tcp://127.0.0.1:12375"], env), { code: "WEAVE_FLAG_INVALID" });
  assert.ok(docker(["-H", "tcp://127.0.0.1:12375", "--tlsverify"], env));
});

test("the proxy uses the TLS settings of dockerd: its flags, or its daemon.json", () => {
  const complete = (words: string[], config: string) => {
    writeFileSync(join(folder, "proc", "1", "cmdline"), words.join("\0"));
    writeFileSync(join(folder, "etc", "docker", "daemon.json"), config);
    const given = { ...docker(["-H", ":1", "--insecure-proxy", ...SOCKET]) };
    const { tls, tlsCa, tlsCert, tlsKey } = completeDocker(given, { verify: false, detect: true }, {}, folder);
    return [tls, tlsCa, tlsCert, tlsKey].map((text) => text.replace(/^.*\/\.docker\//, "~/"));
  };
  const usual = ["~/ca.pem", "~/cert.pem", "~/key.pem"];
  assert.deepEqual(complete(["bash"], ""), ["off", ...usual]);
  assert.deepEqual(complete(["/usr/bin/dockerd", "--tls"], ""), ["on", ...usual]);
  assert.deepEqual(complete(["dockerd", "--tlsverify=true", "--tlscert=/c", "--tlskey", "/k"], ""), [
    "verify",
    "~/ca.pem",
    "/c",
    "/k",
  ]);
  const config = JSON.stringify({ tlsverify: true, tlscacert: "/ca", tlscert: "/c", tlskey: "/k" });
  assert.deepEqual(complete(["dockerd", "-D"], config), ["verify", "/ca", "/c", "/k"]);
  assert.deepEqual(complete(["bash"], config), ["verify", "/ca", "/c", "/k"], "an engine that comes later");
  assert.deepEqual(complete(["dockerd"], '{"tls": false}'), ["off", ...usual]);
  assert.deepEqual(complete(["dockerd"], "[broken"), ["off", ...usual]);
  writeFileSync(join(folder, "other.json"), '{"tls": true}');
  assert.deepEqual(complete(["dockerd", "--config-file", "/other.json"], config), ["on", ...usual]);
});

test("a launch fails if Docker's client is configured for TLS and the engine has none", async () => {
  const settings: [NodeJS.ProcessEnv, boolean][] = [
    [{ DOCKER_TLS_VERIFY: "1", DOCKER_CERT_PATH: folder }, true],
    [{ DOCKER_CLIENT_ARGS: "--tls", DOCKER_CERT_PATH: folder }, false],
    [
      {
        DOCKER_CLIENT_ARGS: `--tlsverify --tlscacert=${folder}/ca.pem --tlscert ${folder}/cert.pem --tlskey ${folder}/key.pem`,
      },
      true,
    ],
  ];
  for (const [env, verify] of settings) {
    assert.equal(clientTls(env)?.verify, verify);
    assert.throws(() => docker([], { ...env, WEAVE_DOCKER_API: "unix:///var/run/docker.sock" }), {
      code: "WEAVE_FLAG_INVALID",
      message: /requires TLS, but the engine at unix:.* has none/,
    });
    assert.equal(docker([...SOCKET], { ...env, DOCKER_HOST: "tcp://10.0.0.1:2376" }).api, SOCKET[1], "another's");
  }
  for (const words of ["", "--tls=false", "--debug"]) assert.equal(clientTls({ DOCKER_CLIENT_ARGS: words }), undefined);
  assert.throws(() => parseEngineAddress("tcp://x", { DOCKER_TLS_VERIFY: "1", DOCKER_CERT_PATH: "/none" }), /ca\.pem/);
  const server = createServer((_request, response) => response.end("OK"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const env = { DOCKER_CLIENT_ARGS: "--tls", DOCKER_CERT_PATH: "/none" };
  try {
    await assert.rejects(checkEngine(`tcp://127.0.0.1:${port}`, env), {
      code: "WEAVE_DOCKER",
      message: /does not answer by TLS, which --tls in DOCKER_CLIENT_ARGS requires/,
    });
    await checkEngine(`tcp://127.0.0.1:${port}`, {});
  } finally {
    server.closeAllConnections();
    server.close();
  }
  // An engine that does not run yet is no error.
  await checkEngine(`tcp://127.0.0.1:${port}`, env);
});
