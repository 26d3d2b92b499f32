import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { VERSION } from "#src/version.js";
import { builtBundle } from "#test/lab/built-bundle.js";
import { ROOT } from "#test/lab/docs/pages.js";
import { changes, footprint } from "#test/lab/footprint.js";
import { must } from "#test/lab/namespace.js";
import { rootHostsImpossible, rootLab } from "#test/lab/root-host.js";

/** The npm package, on a host with a file system of its own. */

/** Kept by npm for itself, and by the kernel. */
const OTHERS = [/^(file|content) \/?root\/\.npm/, /^route .* dev lo/];

test("reset and npm uninstall leave nothing of an installation that was used", {
  skip: rootHostsImpossible() ?? false,
  timeout: 120_000,
}, async () => {
  const folder = mkdtempSync(join(tmpdir(), "weave-npm-"));
  // The host reads it too.
  chmodSync(folder, 0o755);
  builtBundle();
  await must("sh", "-c", `cd ${ROOT} && npm pack --silent --ignore-scripts --pack-destination ${folder}`);
  const lab = await rootLab(1, { shared: [folder] });
  try {
    const [host] = lab.hosts;
    const before = await footprint(host);
    await host.must("npm", "install", "--global", "--offline", "--silent", join(folder, `weave-${VERSION}.tgz`));
    await host.launch();
    await host.attach("red", "10.32.0.1/12");
    await host.ok("expose");
    assert.ok(changes(before, await footprint(host), OTHERS).length > 10, "the comparison sees an installation");
    await host.ok("reset");
    await host.must("npm", "uninstall", "--global", "--silent", "weave");
    await host.must("ip", "netns", "delete", "red");
    assert.deepEqual(changes(before, await footprint(host), OTHERS), []);
  } finally {
    await lab.dispose();
    rmSync(folder, { recursive: true, force: true });
  }
});
