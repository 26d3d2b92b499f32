import assert from "node:assert/strict";
import type { DockerHost } from "#test/lab/docker-host.js";
import { addressOf, DEFAULT_SUBNET_FLAGS, dockerTests, launchAll } from "#test/lab/docker-tests.js";

/** `weave restart` beside a Docker engine. */

let h1: DockerHost;

const test = dockerTests(1, async (hosts) => {
  [h1] = hosts;
  await launchAll(hosts, ...DEFAULT_SUBNET_FLAGS);
});

test("containers that are started while the router restarts wait for it: by the network and by the proxy", {
  timeout: 240_000,
}, async () => {
  await h1.type("docker run -d --name web --network weave busybox sleep 600");
  const address = await addressOf(h1, "web");
  const before = await h1.type("weave ps");
  const started: string[] = [];
  for (let round = 0; round < 3; round++) {
    let restarting = true;
    const runs = ["docker run --rm --network weave busybox true", "docker $(weave config) run --rm busybox true"].map(
      async (line) => {
        while (restarting) {
          const { code, stderr } = await h1.shell(line);
          // The proxy's own socket refuses connections for a moment, as any server that restarts.
          if (code !== 0 && line.includes("config"))
            assert.match(stderr, /Cannot connect to the Docker daemon|connect|EOF|--tls/i);
          else assert.equal(code, 0, `${line}: ${stderr}`);
          if (code === 0) started.push(line);
        }
      },
    );
    await h1.ok("restart");
    restarting = false;
    await Promise.all(runs);
  }
  assert.ok(started.length > 0);
  assert.equal(await addressOf(h1, "web"), address);
  assert.equal(await h1.type("weave ps"), before);
  assert.match(await h1.type("docker network ls --format '{{.Name}}'"), /^weave$/m);
});
