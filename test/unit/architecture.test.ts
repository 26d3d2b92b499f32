import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { COMMANDS } from "#cli/support/command-table.js";

/** What ARCHITECTURE.md says of folders and imports, checked against the sources. */

const root = new URL("../../../", import.meta.url).pathname;
/** A folder imports from itself and from those with a lower number. */
const FLOORS: Readonly<Record<string, number>> = { cli: 5, router: 4, docker: 3, ipam: 2, dns: 2, mesh: 1, src: 0 };
const PURE = ["mesh", "ipam", "dns"];
const IMPURE =
  /\bDate\.now|\bperformance\.now|\bset(?:Timeout|Interval|Immediate)\b|\bMath\.random|\bprocess\.|"node:(?:net|fs|dgram|http|https|tls|dns|os|timers|child_process|worker_threads)/;

const folderOf = (file: string): string => file.split("/")[0];

const sources = new Map(
  Object.keys(FLOORS).flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".ts"))
      .map((name) => join(folder, name))
      .map((file) => [file, readFileSync(join(root, file), "utf8")] as const),
  ),
);

/** Files of the project that a file imports, also for their types alone, and when they are called for. */
function importsOf(file: string): string[] {
  const specifiers = sources.get(file)!.matchAll(/(?:from\s+|import\s*\(?\s*)"([#.][^"]+)\.js"/g);
  return [...specifiers].map(([, path]) => `${path.startsWith("#") ? path.slice(1) : join(dirname(file), path)}.ts`);
}

const graph = new Map([...sources.keys()].map((file) => [file, importsOf(file)]));

test("imports are found, and name files that exist", () => {
  const all = [...graph].flatMap(([file, targets]) => targets.map((target) => [file, target]));
  assert.ok(all.length > 2 * graph.size, `${all.length} imports of ${graph.size} files`);
  assert.deepEqual(
    all.filter(([, target]) => !graph.has(target)),
    [],
  );
});

test("no folder imports one above it, or beside it", () => {
  const upward = [...graph].flatMap(([file, targets]) =>
    targets
      .filter((target) => folderOf(target) !== folderOf(file) && FLOORS[folderOf(target)] >= FLOORS[folderOf(file)])
      .map((target) => `${file} -> ${target}`),
  );
  assert.deepEqual(upward, []);
});

test("no file imports itself by way of others", () => {
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) assert.fail([...path.slice(path.indexOf(file)), file].join(" -> "));
    if (done.has(file)) return;
    for (const target of graph.get(file) ?? []) visit(target, [...path, file]);
    done.add(file);
  };
  for (const file of graph.keys()) visit(file, []);
});

/** What a folder holds: its files, and its sub-folders as wholes. Arrows are imports between two of them. */
function roomsOf(folder: string): Map<string, Set<string>> {
  const roomOf = (file: string): string => join(folder, file.slice(folder.length + 1).split("/")[0]);
  const inside = (file: string): boolean => file.startsWith(`${folder}/`);
  const rooms = new Map<string, Set<string>>();
  for (const [file, targets] of graph) {
    if (!inside(file)) continue;
    const room = roomOf(file);
    const arrows = rooms.get(room) ?? new Set();
    for (const target of targets.filter(inside).map(roomOf)) if (target !== room) arrows.add(target);
    rooms.set(room, arrows);
  }
  return rooms;
}

test("no file or sub-folder imports itself by way of those beside it", () => {
  const folders = new Set([...graph.keys()].map(dirname));
  assert.ok(folders.size > Object.keys(FLOORS).length, "there are sub-folders");
  for (const folder of folders) {
    const rooms = roomsOf(folder);
    const done = new Set<string>();
    const visit = (room: string, path: readonly string[]): void => {
      if (path.includes(room)) assert.fail([...path.slice(path.indexOf(room)), room].join(" -> "));
      if (done.has(room)) return;
      for (const target of rooms.get(room) ?? []) visit(target, [...path, room]);
      done.add(room);
    };
    for (const room of rooms.keys()) visit(room, []);
  }
});

test("mesh, ipam and dns use no clock, timer, randomness or socket of their own", () => {
  const impure = [...sources]
    .filter(([file]) => PURE.includes(folderOf(file)))
    .flatMap(([file, text]) => text.split("\n").map((line, index) => ({ line, at: `${file}:${index + 1}` })))
    .filter(({ line }) => !/^\s*(?:\/?\*|\/\/)/.test(line) && IMPURE.test(line));
  assert.deepEqual(impure, []);
});

/** Commands that work without a router; cli/support/without-router.ts gives the reason of each. */
const WITHOUT_ROUTER = [
  "cli/backup/state.ts",
  "cli/bugreport/sources.ts",
  "cli/doctor/clock.ts",
  "cli/doctor/dns.ts",
  "cli/doctor/docker.ts",
  "cli/doctor/firewall.ts",
  "cli/doctor/kernel.ts",
  "cli/doctor/ports.ts",
  "cli/doctor/range.ts",
  "cli/doctor/requirements.ts",
  "cli/commands/docker-bridge-ip.ts",
  "cli/commands/launch.ts",
  "cli/commands/reset.ts",
  "cli/commands/setup.ts",
  "cli/launch/check-engine.ts",
  "cli/launch/docker-options.ts",
  "cli/launch/kept-tunnel.ts",
  "cli/launch/launch-flags.ts",
  "cli/supervision/container/container-config.ts",
  "cli/supervision/container/container.ts",
  "cli/supervision/container/requirements.ts",
  "cli/supervision/container/state.ts",
  "cli/supervision/foreground.ts",
  "cli/supervision/process.ts",
  "cli/support/host-checks.ts",
  "cli/support/router-container.ts",
  "cli/support/without-router.ts",
].sort();

test("commands are clients of the router: only those that work without one touch the host or Docker", () => {
  const touching = [...graph]
    .filter(
      ([file, targets]) => folderOf(file) === "cli" && targets.some((target) => /^(src\/linux|docker)\//.test(target)),
    )
    .map(([file]) => file);
  assert.deepEqual(touching.sort(), WITHOUT_ROUTER);
});

test("each command of the table has a file of its name, and each file of a command is one", () => {
  const files = readdirSync(join(root, "cli/commands")).map((name) => name.replace(/\.ts$/, ""));
  const commands = Object.keys(COMMANDS).filter((name) => name !== "help");
  assert.deepEqual(commands.sort(), files.sort());
});

test("ARCHITECTURE.md's table of folders names every folder of the sources, and no other", () => {
  const text = readFileSync(join(root, "ARCHITECTURE.md"), "utf8");
  const rows = [...text.matchAll(/^\|[^|]*\| `([\w/-]+)\/` \|/gm)].map(([, folder]) => folder);
  const found = new Set(Object.keys(FLOORS));
  for (const folder of Object.keys(FLOORS))
    for (const entry of readdirSync(join(root, folder), { recursive: true, withFileTypes: true }))
      if (entry.isDirectory()) found.add(join(entry.parentPath, entry.name).slice(root.length));
  assert.deepEqual(rows.filter((row) => row.split("/")[0] in FLOORS).sort(), [...found].sort());
  for (const row of rows) assert.ok(existsSync(join(root, row)), row);
});
