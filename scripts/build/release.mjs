/**
 * Makes everything of a release in build/release/ from a clean tree: `npm run release`.
 *
 *   --version X         first commits the release X: the version in all files, the unreleased changes as its section of CHANGELOG.md
 *   --tag               tags the commit vX
 *   --arch ARCH         for one architecture, amd64 or arm64, instead of both
 *   --fast              archives and packages hardly compressed
 *   --gpg-key ID        signs SHA256SUMS by gpg: SHA256SUMS.asc
 *   --minisign-key FILE signs SHA256SUMS by minisign: SHA256SUMS.minisig
 *
 * Nothing is published. The same commit gives the same files: SHA256SUMS of two runs are equal.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { root } from "./project.mjs";
import { changesOf } from "./release/changelog.mjs";
import { commitRelease } from "./release/version.mjs";

const OUT = join(root, "build/release");
const SUMS = "SHA256SUMS";

const { values: options } = parseArgs({
  options: {
    version: { type: "string" },
    tag: { type: "boolean", default: false },
    arch: { type: "string" },
    fast: { type: "boolean", default: false },
    "gpg-key": { type: "string" },
    "minisign-key": { type: "string" },
  },
});

const manifestVersion = () => JSON.parse(readFileSync(join(root, "package.json"), "utf8")).version;
const git = (...args) => execFileSync("git", args, { cwd: root, encoding: "utf8" }).trimEnd();
const changelog = () => readFileSync(join(root, "CHANGELOG.md"), "utf8");

/** Checks the tree, and commits the release that was asked for. @returns {string} the version of the release */
function prepare() {
  const changes = git("status", "--porcelain");
  if (changes !== "") throw new Error(`the tree has changes that are not committed:\n${changes}`);
  const { version = manifestVersion() } = options;
  if (options.version !== undefined) {
    const isDone = manifestVersion() === version && changesOf(changelog(), version).isReleased;
    if (!isDone) commitRelease(manifestVersion(), version);
  }
  if (!changesOf(changelog(), version).isReleased) {
    console.error(`CHANGELOG.md has no section of ${version} yet: the notes are those of unreleased changes.`);
    if (options.tag)
      throw new Error(`--tag needs a section of ${version} in CHANGELOG.md: --version ${version} makes it`);
  }
  return version;
}

/** Runs a program of the build. */
function run(file, ...args) {
  execFileSync(file, args, { cwd: root, stdio: ["ignore", "ignore", "inherit"] });
}

/** The image, for `docker load`, without an engine. */
function image(version, arch) {
  const work = mkdtempSync(join(tmpdir(), "weave-release-"));
  try {
    run("scripts/build/rootfs.sh", join(work, "root"), arch);
    const file = join(OUT, `weave-${version}-image-${arch}.tar`);
    run("node", "scripts/build/image-archive.mjs", join(work, "root"), arch, `weave:${version}`, file);
  } finally {
    rmSync(work, { recursive: true });
  }
}

function build(version) {
  const architectures = options.arch === undefined ? ["amd64", "arm64"] : [options.arch];
  const fast = options.fast ? ["--fast"] : [];
  const steps = {
    bundle: () => run("npm", "run", "--silent", "build:bundle"),
    "npm package": () => run("npm", "pack", "--silent", "--pack-destination", OUT),
    archives: () => run("scripts/build/archive.sh", ...fast, ...architectures),
    "Debian packages": () => run("scripts/build/deb.sh", ...fast, ...architectures),
    images: () => architectures.map((arch) => image(version, arch)),
    plugins: () => architectures.map((arch) => run("scripts/build/plugin.sh", "", arch)),
  };
  for (const [name, step] of Object.entries(steps)) {
    const start = Date.now();
    step();
    console.error(`${name}: ${((Date.now() - start) / 1_000).toFixed(1)} s`);
  }
}

const sha256 = (file) => createHash("sha256").update(readFileSync(file)).digest("hex");

/** Writes the checksums of all files, in the form of sha256sum(1). */
function writeSums() {
  const lines = readdirSync(OUT)
    .sort()
    .map((name) => `${sha256(join(OUT, name))}  ${name}\n`);
  writeFileSync(join(OUT, SUMS), lines.join(""));
}

/** @returns {string} what was done, in words */
function sign() {
  const { "gpg-key": gpg, "minisign-key": minisign } = options;
  const sums = join(OUT, SUMS);
  if (gpg !== undefined) run("gpg", "--batch", "--yes", "--local-user", gpg, "--armor", "--detach-sign", sums);
  if (minisign !== undefined) run("minisign", "-S", "-s", minisign, "-m", sums);
  const by = [gpg && `gpg's key ${gpg}`, minisign && `minisign's key ${minisign}`].filter(Boolean);
  return by.length > 0
    ? `${SUMS} is signed by ${by.join(" and ")}.`
    : `${SUMS} is not signed: --gpg-key and --minisign-key do.`;
}

function printTable() {
  for (const name of readdirSync(OUT).sort()) {
    const { size } = statSync(join(OUT, name));
    const text = size < 100_000 ? `${(size / 1_000).toFixed(1)} kB` : `${(size / 1_000_000).toFixed(1)} MB`;
    console.log(`${text.padStart(9)}  ${name}`);
  }
}

// Modes of files are those of the release, not of its maker.
process.umask(0o022);
try {
  const version = prepare();
  rmSync(OUT, { recursive: true, force: true });
  mkdirSync(OUT, { recursive: true });
  build(version);
  writeFileSync(join(OUT, "release-notes.md"), `# Weave ${version}\n\n${changesOf(changelog(), version).body}\n`);
  writeSums();
  const signed = sign();
  if (options.tag) git("tag", "--annotate", `v${version}`, "--message", `Weave ${version}`);
  printTable();
  console.log(`Weave ${version} of commit ${git("rev-parse", "--short", "HEAD")} is in build/release. ${signed}`);
} catch (error) {
  console.error(`release: ${error.message}`);
  process.exitCode = 1;
}
