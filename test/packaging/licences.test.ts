import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { builtBundle } from "#test/lab/built-bundle.js";
import { ROOT } from "#test/lab/docs/pages.js";

/** The list of what the bundle contains, with the licences, against the bundle itself. */

interface Entry {
  readonly name: string;
  readonly version: string;
  readonly purl: string;
  readonly licenses: readonly { readonly license: { readonly id: string } }[];
  readonly hashes?: readonly { readonly alg: string; readonly content: string }[];
}
interface Component {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  readonly text: string;
}
interface Step {
  licences(context: { out: string; metafile: object }): void;
  addComponent(folder: string, component: Component): void;
}

const BUNDLE = builtBundle();
const DOC = join(BUNDLE, "share/doc/weave");
const step = (await import(join(ROOT, "scripts/build/bundle/licences.mjs"))) as Step;
const entriesOf = (folder: string) =>
  (JSON.parse(readFileSync(join(folder, "sbom.cdx.json"), "utf8")) as { components: Entry[] }).components;

/** Packages by the comments that esbuild writes before the code of each file. */
function packagesInCode(): Set<string> {
  const found = new Set<string>();
  for (const file of readdirSync(join(BUNDLE, "lib"), { recursive: true, encoding: "utf8" })) {
    if (!file.endsWith(".js")) continue;
    const text = readFileSync(join(BUNDLE, "lib", file), "utf8");
    for (const [, path] of text.matchAll(/^\s*\/\/ (node_modules\/\S+)$/gm)) {
      const [, folder, name] = /^(.*node_modules\/((?:@[^/]+\/)?[^/]+))\//.exec(path)!;
      const { version } = JSON.parse(readFileSync(join(ROOT, folder, "package.json"), "utf8"));
      found.add(`${name}@${version}`);
    }
  }
  return found;
}

/** Packages that the page's sources import: its own code has no comments, as it is minified for browsers. */
function packagesOfPage(): Set<string> {
  const found = new Set<string>();
  for (const file of readdirSync(join(ROOT, "page"), { recursive: true, encoding: "utf8" })) {
    if (!/\.tsx?$/.test(file)) continue;
    for (const [, name] of readFileSync(join(ROOT, "page", file), "utf8").matchAll(/ from "([a-z][\w-]*)[/"]/g)) {
      const { version } = JSON.parse(readFileSync(join(ROOT, "node_modules", name, "package.json"), "utf8"));
      found.add(`${name}@${version}`);
    }
  }
  return found;
}

test("the list names exactly the packages of the bundle", () => {
  const page = packagesOfPage();
  assert.ok(page.size > 0);
  const code = new Set([...packagesInCode(), ...page]);
  assert.ok(code.size > 20, `${code.size} packages`);
  const lock = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")).packages;
  const modules = ["@koromix/koffi-linux-", "@lmdb/lmdb-linux-", "@msgpackr-extract/msgpackr-extract-linux-"]
    .flatMap((name) => [`${name}x64`, `${name}arm64`])
    .map((name) => `${name}@${lock[`node_modules/${name}`].version}`);
  const listed = entriesOf(DOC).map(({ name, version }) => `${name}@${version}`);
  const inside = listed.filter((name) => /^(?:liblmdb|lz4)@\d+\.\d+\.\d+$/.test(name));
  assert.equal(inside.length, 2, "libraries in the native modules");
  assert.deepEqual([...listed].sort(), [...code, ...modules, ...inside].sort());
});

test("npm's own list has the same checksum and licence of each package that is installed here", () => {
  const text = execFileSync("npm", ["sbom", "--sbom-format", "cyclonedx"], { cwd: ROOT, encoding: "utf8" });
  const installed = new Map((JSON.parse(text) as { components: Entry[] }).components.map((each) => [each.purl, each]));
  const both = entriesOf(DOC).filter(({ purl }) => installed.has(purl));
  assert.ok(both.length > 20, `${both.length} packages`);
  for (const { purl, hashes, licenses } of both) {
    const other = installed.get(purl)!;
    assert.deepEqual({ purl, hashes, licenses }, { purl, hashes: other.hashes, licenses: other.licenses });
  }
});

test("each entry of the list has its licence text", () => {
  const sections = readFileSync(join(DOC, "licences.txt"), "utf8").split(/^=+\n(.*) \(.*\)\n=+\n/m);
  const texts = new Map(sections.slice(1).flatMap((name, i, all) => (i % 2 === 0 ? [[name, all[i + 1]]] : [])));
  for (const { name, version } of entriesOf(DOC)) {
    const text = texts.get(`${name} ${version}`) ?? "";
    assert.match(text, /copyright|public domain|permission/i, name);
    assert.ok(text.length > 500, `${name}: ${text}`);
  }
});

test("a package without a licence text, or with another licence, fails the build", (t) => {
  const out = mkdtempSync(join(tmpdir(), "weave-licences-"));
  t.after(() => rmSync(out, { recursive: true }));
  const metafile = (path: string) => ({ outputs: { "lib/a.js": { inputs: { [path]: { bytesInOutput: 1 } } } } });
  const nothing = "node_modules/@biomejs/cli-linux-x64/package.json";
  assert.throws(() => step.licences({ out, metafile: metafile(nothing) }), /has no licence text.*packaging\/licences/);
  assert.throws(
    () => step.licences({ out, metafile: metafile("node_modules/unknown/index.js") }),
    /package-lock\.json has no node_modules\/unknown/,
  );
  const other: Component = { name: "other", version: "1.0.0", license: "GPL-3.0-only", text: "…" };
  assert.throws(() => step.addComponent(DOC, other), /other 1\.0\.0 is bundled under GPL-3\.0-only/);
});

test("a component that an archive adds is listed once, at the end of the texts", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "weave-licences-"));
  t.after(() => rmSync(folder, { recursive: true }));
  cpSync(DOC, folder, { recursive: true });
  const node: Component = { name: "node", version: "22.0.0", license: "MIT", text: "Node.js is licensed as follows" };
  for (let i = 0; i < 2; i++) step.addComponent(folder, node);
  assert.equal(entriesOf(folder).length, entriesOf(DOC).length + 1);
  assert.match(readFileSync(join(folder, "licences.txt"), "utf8"), /node 22\.0\.0 \(MIT\)\n=+\n\nNode\.js is licensed/);
});
