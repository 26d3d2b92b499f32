import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { appendFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ROOT } from "#test/lab/docs/pages.js";
import { programMissing } from "#test/lab/requirements.js";

/** Releases of copies of this tree, which is not changed. The tests build upon one another. */

const VERSION = "7.8.9";
const ARCHITECTURE = execFileSync("dpkg", ["--print-architecture"], { encoding: "utf8" }).trim();

let work: string;
let first: string;
let second: string;
let env: NodeJS.ProcessEnv;

const run = (folder: string, file: string, ...args: string[]) =>
  execFileSync(file, args, { cwd: folder, env, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
const release = (folder: string, ...args: string[]) =>
  run(folder, "node", "scripts/build/release.mjs", "--fast", "--arch", ARCHITECTURE, ...args);
const refused = (folder: string, ...args: string[]) => {
  const { status, stderr } = spawnSync("node", ["scripts/build/release.mjs", ...args], {
    cwd: folder,
    env,
    encoding: "utf8",
  });
  assert.equal(status, 1, stderr);
  return stderr;
};
const out = (folder: string, name = "") => join(folder, "build/release", name);
const sums = (folder: string) => readFileSync(out(folder, "SHA256SUMS"), "utf8");

/** Links what a build does not change; on one file system, as links need. */
function addPackages(folder: string): void {
  execFileSync("cp", ["-al", join(ROOT, "node_modules"), join(folder, "node_modules")]);
  mkdirSync(join(folder, "build"));
  if (existsSync(join(ROOT, "build/cache")))
    cpSync(join(ROOT, "build/cache"), join(folder, "build/cache"), { recursive: true });
}

before(() => {
  mkdirSync(join(ROOT, "build"), { recursive: true });
  work = mkdtempSync(join(ROOT, "build/test-release-"));
  [first, second] = ["first", "second"].map((name) => join(work, name));
  const who = { GIT_AUTHOR_NAME: "t", GIT_AUTHOR_EMAIL: "t@t", GIT_COMMITTER_NAME: "t", GIT_COMMITTER_EMAIL: "t@t" };
  env = { ...process.env, ...who, GNUPGHOME: join(work, "gnupg") };
  mkdirSync(first);
  const files = run(ROOT, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard");
  for (const file of files.split("\0").filter((name) => name !== "" && existsSync(join(ROOT, name))))
    cpSync(join(ROOT, file), join(first, file));
  run(first, "git", "init", "--quiet", "--initial-branch", "main");
  run(first, "git", "add", "--all");
  run(first, "git", "commit", "--quiet", "--message", "first");
  addPackages(first);
});
after(() => rmSync(work, { recursive: true, force: true }));

test("a release is of a clean tree and a valid version", () => {
  appendFileSync(join(first, "README.md"), "\n");
  assert.match(refused(first), /changes that are not committed:\n M README\.md/);
  run(first, "git", "checkout", "README.md");
  assert.match(refused(first, "--version", "one"), /'one' is no version/);
  assert.match(refused(first, "--tag"), /--tag needs a section of .* --version .* makes it/);
  assert.equal(run(first, "git", "status", "--porcelain"), "", "nothing was changed");
});

test("it has all files under their names, a commit and a tag", { timeout: 900_000 }, () => {
  const output = release(first, "--version", VERSION, "--tag");
  const names = [
    "SHA256SUMS",
    "install.sh",
    "release-notes.md",
    `weave-${VERSION}-image-${ARCHITECTURE}.tar`,
    `weave-${VERSION}-linux-${ARCHITECTURE}.tar.gz`,
    `weave-${VERSION}-plugin-${ARCHITECTURE}.tar`,
    `weave-${VERSION}.tgz`,
    `weave_${VERSION}_${ARCHITECTURE}.deb`,
  ];
  assert.deepEqual(readdirSync(out(first)).sort(), names.sort());
  for (const name of names) assert.ok(output.includes(name), `the table has ${name}`);
  assert.match(output, /SHA256SUMS is not signed/);
  run(out(first), "sha256sum", "--check", "--strict", "SHA256SUMS");
  assert.equal(run(first, "git", "describe", "--exact-match").trim(), `v${VERSION}`);
  assert.equal(run(first, "git", "status", "--porcelain"), "");
  const notes = readFileSync(out(first, "release-notes.md"), "utf8");
  assert.match(notes, new RegExp(`^# Weave ${VERSION}\\n\\n`));
  assert.match(readFileSync(join(first, "CHANGELOG.md"), "utf8"), new RegExp(`^## \\[${VERSION}\\] - \\d{4}-`, "m"));
});

test("each file has the version", () => {
  const inTar = (archive: string, path: string) => run(out(first), "tar", "-xOf", archive, path);
  assert.equal(JSON.parse(inTar(`weave-${VERSION}.tgz`, "package/package.json")).version, VERSION);
  assert.equal(run(out(first), "dpkg-deb", "-f", `weave_${VERSION}_${ARCHITECTURE}.deb`, "Version").trim(), VERSION);
  const image = `weave-${VERSION}-image-${ARCHITECTURE}.tar`;
  const [{ Config, RepoTags }] = JSON.parse(inTar(image, "manifest.json"));
  assert.deepEqual(RepoTags, [`weave:${VERSION}`]);
  assert.equal(JSON.parse(inTar(image, Config)).config.Labels["org.opencontainers.image.version"], VERSION);
  const program = `weave-${VERSION}-linux-${ARCHITECTURE}`;
  run(work, "tar", "-xf", out(first, `${program}.tar.gz`));
  assert.match(run(work, `${program}/weave`, "version"), new RegExp(`weave command ${VERSION}`));
});

test("another run, elsewhere and with another umask, gives the same files", { timeout: 900_000 }, () => {
  run(work, "git", "clone", "--quiet", first, second);
  addPackages(second);
  run(second, "sh", "-c", `umask 077; exec node scripts/build/release.mjs --fast --arch ${ARCHITECTURE}`);
  assert.equal(sums(second), sums(first));
});

test("checksums are signed by a given key", { skip: programMissing("gpg", "gpg") ?? false, timeout: 900_000 }, () => {
  mkdirSync(join(work, "gnupg"), { mode: 0o700 });
  run(work, "gpg", "--batch", "--passphrase", "", "--quick-generate-key", "releases@weave.invalid", "ed25519", "sign");
  assert.match(release(second, "--gpg-key", "releases@weave.invalid"), /SHA256SUMS is signed by gpg's key releases@/);
  run(out(second), "gpg", "--batch", "--verify", "SHA256SUMS.asc", "SHA256SUMS");
  run(work, "gpgconf", "--kill", "all");
});
