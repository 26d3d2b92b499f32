import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { dockerTestsImpossible, makeImage, networkThere } from "#test/lab/docker-host.js";
import { changes, footprint } from "#test/lab/footprint.js";
import { makeRelease } from "#test/lab/releases.js";
import { rootHostsImpossible, rootLab } from "#test/lab/root-host.js";
import { until } from "#test/lab/wait.js";

/** The Debian package beside a Docker engine. */

/** Kept by dpkg and its triggers, and by the engine for its own networks and images. */
const OTHERS = [
  // The engine makes it with the first network of a plugin, and keeps it.
  /docker_gwbridge|172\.18\.0\.|172\.18\.255\.255|local fe80:/,
  /^file \/(var\/(cache|lib\/(dpkg|docker|containerd)|log)|run\/(docker|containerd|lock))/,
];

test("purge beside Docker leaves no network, rule or link of weave, also with a container that is still attached", {
  skip: dockerTestsImpossible() ?? rootHostsImpossible() ?? false,
  timeout: 200_000,
}, async () => {
  const folder = mkdtempSync(join(tmpdir(), "weave-deb-"));
  const { deb } = await makeRelease(folder, ["deb"]);
  const lab = await rootLab(1, { shared: [folder] });
  try {
    const [host] = lab.hosts;
    await host.startEngine();
    await host.loadImage(await makeImage(folder));
    // The first container of an engine leaves what the next ones use: chains, and images' layers.
    await host.docker("run", "--rm", "busybox", "true");
    const before = await footprint(host);
    await host.must("dpkg", "--force-depends", "--install", deb);
    await host.launch();
    await networkThere(host);
    await host.docker("run", "-d", "--name", "plugin", "--network", "weave", "busybox", "sleep", "1000");
    await host.docker("run", "-d", "--name", "attached", "busybox", "sleep", "1000");
    await host.ok("attach", "attached");
    await host.docker("rm", "-f", "plugin");
    await host.must("dpkg", "--purge", "weave");
    // The interface inside went with its other end.
    await until(
      "the interface is gone",
      async () => (await host.type("docker exec attached ip -o link")).includes("ethwe") === false,
    );
    await host.docker("rm", "-f", "attached");
    assert.deepEqual(changes(before, await footprint(host), OTHERS), []);
  } finally {
    await lab.dispose();
    rmSync(folder, { recursive: true, force: true });
  }
});
