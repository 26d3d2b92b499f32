import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { basename, dirname, join, normalize } from "node:path";
import { test } from "node:test";
import { ALL_FLAGS } from "#cli/launch/launch-flags.js";
import { COMMANDS } from "#cli/support/command-table.js";
import { ERRORS } from "#src/errors.js";
import { declaredCalls, metricNames } from "#test/lab/docs/api-page.js";
import { allPages, page, ROOT, spansOf } from "#test/lab/docs/pages.js";
import { sources } from "#test/lab/docs/sources.js";

/** What the pages name exists: paths, links, flags, variables, codes, metrics, calls, commands, scripts. */

const pages = allPages();

/** Code spans of all pages that a pattern matches, with the matched text. */
function named(pattern: RegExp, skip: RegExp = /^$/): { where: string; name: string }[] {
  return pages.flatMap((path) =>
    spansOf(page(path))
      .filter((span) => !skip.test(span))
      .flatMap((span) => [...span.matchAll(pattern)].map((match) => ({ where: `${path}: ${span}`, name: match[1] }))),
  );
}

function checkNamed(
  found: readonly { where: string; name: string }[],
  least: number,
  exists: (name: string) => boolean,
) {
  assert.ok(found.length >= least, `${found.length} found`);
  assert.deepEqual(
    found.filter(({ name }) => !exists(name)).map(({ where, name }) => `${where}: ${name}`),
    [],
  );
}

const tree = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], {
  cwd: ROOT,
  encoding: "utf8",
})
  .trim()
  .split("\n")
  .filter((file) => existsSync(join(ROOT, file)));
const baseNames = new Set(tree.map((file) => basename(file)));
const folders = new Set(tree.flatMap((file) => file.split("/").map((_, i, parts) => parts.slice(0, i).join("/"))));

test("files and folders that the pages name exist", () => {
  const isPath = (name: string) => {
    const path = name.replace(/\/$/, "");
    if (!path.includes("/")) return baseNames.has(path) || folders.has(path);
    return tree.includes(path) || folders.has(path) || tree.some((file) => file.endsWith(`/${path}`));
  };
  const file = /^([\w.-]+(?:\/[\w.-]+)*\.(?:ts|mjs|sh|md|json|c))(?:$| )/g;
  checkNamed(named(file, /^(?:daemon|launch|launch-options|package-lock)\.json/), 25, isPath);
  const folder = /^((?:src|mesh|ipam|dns|docker|router|cli|test|scripts|packaging|docs|bin)\/[\w./-]*\/?)$/g;
  checkNamed(named(folder), 20, isPath);
});

test("links of the pages lead to pages and headings that exist", () => {
  const slugs = (text: string) =>
    [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, "")
        .replaceAll(" ", "-"),
    );
  for (const path of pages)
    for (const [, target] of page(path).matchAll(/\]\((?!https?:)([^)\s]+)\)/g)) {
      const [file, anchor] = target.split("#");
      const to = file === "" ? path : normalize(join(dirname(path), file));
      assert.ok(existsSync(join(ROOT, to)), `${path} links to ${target}`);
      if (anchor !== undefined) assert.ok(slugs(page(to)).includes(anchor), `${path} links to ${target}`);
    }
});

/** Flags of other programs, which the pages name too. */
const FOREIGN_COMMAND =
  /^(?:apt|apt-get|curl|docker|docker-compose|dpkg|gcloud|install\.sh|npm|systemctl|tailscale|ethtool|perf|driver-opt|git|node|restart=|modprobe|mount)\b/;
const FOREIGN_FLAGS = new Set([
  "--alias",
  "--always-sparkplug",
  "--attachable",
  "--aux-address",
  "--cap-add",
  "--dns",
  "--dns-search",
  "--driver",
  "--endpoint-mode",
  "--force-recreate",
  "--gateway",
  "--internal",
  "--ip",
  "--ip-range",
  "--ipam-driver",
  "--log-opt",
  "--mac-address",
  "--max-semi-space-size",
  "--net",
  "--network",
  "--network-alias",
  "--no-flush-bytecode",
  "--opt",
  "--privileged",
  "--publish",
  "--remote",
  "--rm",
  "--scope",
  "--single-threaded-gc",
  "--stop-grace-period",
  "--subnet",
  "--trace-gc",
  "--update-order",
  "--v8-pool-size",
]);

test("flags that the pages name exist", () => {
  const rows = [
    ...Object.values(ALL_FLAGS),
    ...Object.values(COMMANDS).flatMap((each) => Object.values(("flags" in each && each.flags) || {})),
  ];
  const flags = new Set(rows.map(({ flag }) => `--${flag}`));
  // Flags of the project's own programs: benchmarks and the simulator.
  for (const file of tree.filter((path) => /^test\/(?:bench|sim|lab)\//.test(path)))
    for (const [, flag] of readFileSync(join(ROOT, file), "utf8").matchAll(/"(?:--)?([a-z][\w-]+)"/g))
      if (pages.some((path) => new RegExp(`npm run [\\w:]+ -- [^\`]*--${flag}\\b|\`--${flag}\\b`).test(page(path))))
        flags.add(`--${flag}`);
  for (const [, flag] of page("packaging/install.sh").matchAll(/^ {2}(--[a-z-]+)/gm)) flags.add(flag);
  flags.add("--help").add("--test-name-pattern").add("--advice");
  checkNamed(
    named(/(?<![\w-])(--[a-z][a-z0-9-]+)/g, FOREIGN_COMMAND),
    80,
    (name) => flags.has(name) || FOREIGN_FLAGS.has(name),
  );
});

test("error codes and variables that the pages name exist", () => {
  // The tests' own variables are there.
  const text = [...sources.values(), page("test/lab/engine.ts")].join("\n");
  const pluginSettings = page("packaging/plugin/config.json");
  checkNamed(
    named(/\b(WEAVE_[A-Z_]+)\b/g),
    30,
    (name) =>
      name in ERRORS || pluginSettings.includes(`"${name}"`) || text.includes(`"${name}"`) || text.includes(`.${name}`),
  );
});

test("metrics that the pages name exist", () => {
  const metrics = metricNames();
  assert.ok(metrics.length >= 17);
  checkNamed(named(/\b(weave_[a-z_]+)\b/g), 9, (name) => metrics.includes(name));
});

test("calls of the HTTP API that the pages name exist", () => {
  const calls = declaredCalls().map(({ call }) => call.replace(/:\w+/g, "*"));
  checkNamed(named(/^((?:GET|POST|PUT|DELETE) \/\S*)$/g), 30, (name) => calls.includes(name.replace(/:\w+/g, "*")));
});

/** npm's own commands. */
const NPM = ["ci", "install", "pack", "uninstall"];
/** Messages and labels of key derivation that begin with the same word, and a command of Weave Net. */
const NO_COMMAND = /^weave (?:is not|must be|mesh|lane|setup-cni)\b/;

test("commands and scripts that the pages name exist", () => {
  const known = new Set([...Object.keys(COMMANDS), "help"]);
  checkNamed(named(/^(?:eval \$\(|docker (?:run )?\$\()?weave ([a-z][a-z-]*)/g, NO_COMMAND), 50, (name) =>
    known.has(name),
  );
  const { scripts } = JSON.parse(page("package.json")) as { scripts: Record<string, string> };
  const text = pages.map((path) => page(path)).join("\n");
  const runs = [...text.matchAll(/\bnpm (?:run )?([a-z][\w:]*)/g)]
    .map(([, name]) => name)
    .filter((name) => !NPM.includes(name));
  assert.ok(runs.length > 20);
  assert.deepEqual(
    runs.filter((name) => scripts[name] === undefined),
    [],
  );
});

test("CONTRIBUTING.md names every script of package.json that a person runs", () => {
  const { scripts } = JSON.parse(page("package.json")) as { scripts: Record<string, string> };
  const text = page("CONTRIBUTING.md");
  // npm runs `prepack` itself.
  const missing = Object.keys(scripts).filter(
    (name) => name !== "prepack" && !new RegExp(`\\bnpm (?:run )?${name}(?![\\w:-])`).test(text),
  );
  assert.deepEqual(missing, []);
});

test("messages that the troubleshooting page quotes occur in the sources", () => {
  const text = [...sources.values()].join("\n");
  const quoted = page("docs/troubleshooting.md")
    .split("\n")
    .filter((line) => line.startsWith("| `"))
    .flatMap((line) => spansOf(line.split("|")[1]))
    .flatMap((span) => span.split("…"))
    .map((part) => part.trim())
    .filter((part) => part.includes(" "));
  assert.ok(quoted.length > 8, `${quoted.length} quotations`);
  for (const part of quoted) assert.ok(text.includes(part), `no source has "${part}"`);
});
