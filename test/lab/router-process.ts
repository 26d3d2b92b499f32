import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Host } from "#test/lab/host.js";
import { execute } from "#test/lab/namespace.js";

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

export const runs = (pid: number): boolean =>
  existsSync(`/proc/${pid}`) && !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));

/** Nothing of weave runs on the host. */
export async function nothingRuns(host: Host): Promise<void> {
  const { stdout } = await execute("ip", ["netns", "pids", host.ns]);
  assert.equal(stdout, "");
  assert.deepEqual([host.supervisorPid, host.routerPid], [undefined, undefined]);
}
