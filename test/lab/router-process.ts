import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Host } from "#test/lab/host.js";
import { execute } from "#test/lab/namespace.js";
import { until } from "#test/lab/wait.js";

/** Router processes under test: what they run first, and whether they run. */

/** Files that are preloaded; removed at the end of the test file. */
let folder: string | undefined;
process.once("exit", () => folder !== undefined && rmSync(folder, { recursive: true, force: true }));

/** Makes Node run `code` first in router processes, and in no other. */
export function inRouter(code: string): NodeJS.ProcessEnv {
  folder ??= mkdtempSync(join(tmpdir(), "weave-preload-"));
  const file = join(folder, `preload-${Buffer.from(code).toString("base64url").slice(0, 40)}.mjs`);
  writeFileSync(
    file,
    `import { isMainThread } from "node:worker_threads";\nif (isMainThread && /router.main\\.js$/.test(process.argv[1] ?? "")) { ${code} }\n`,
  );
  return { NODE_OPTIONS: `--import ${file}` };
}

export const launchWith = (host: Host, env: NodeJS.ProcessEnv, ...args: string[]) =>
  host.weaveWith(env, "launch", "--name", host.peerName, "--nickname", host.name, ...args);

/** For env(1): what a process that is not run by {@link Host.weaveWith} needs. */
export const environmentOf = (host: Host, more: NodeJS.ProcessEnv = {}): string[] =>
  Object.entries({ ...host.environment, ...more }).map(([name, value]) => `${name}=${value}`);

/** Whether a process runs. State Z: it has ended, and its parent has not yet collected its status. */
export const runs = (pid: number): boolean => /\) [^Z] /.test(fileOf(pid, "stat"));

/** Nothing of weave runs on the host. The children of a router that was killed notice it a moment later. */
export async function nothingRuns(host: Host): Promise<void> {
  assert.deepEqual([host.supervisorPid, host.routerPid], [undefined, undefined]);
  let running: string[] = [];
  const ended = async () => {
    running = await programsOn(host);
    return running.length === 0;
  };
  await until("all programs have ended", ended, 5_000).catch(() => {});
  assert.deepEqual(running, []);
}

/** The command lines of what runs on a host. A supervisor that has ended is listed by ip until the machine's first process collects it. */
async function programsOn(host: Host): Promise<string[]> {
  const { stdout } = await execute("ip", ["netns", "pids", host.ns]);
  const pids = stdout.split("\n").map(Number).filter(runs);
  return pids.map((pid) => fileOf(pid, "cmdline").split("\0").join(" "));
}

/** A file about a process; empty when that has ended. */
function fileOf(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "utf8");
  } catch {
    return "";
  }
}
