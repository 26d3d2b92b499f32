import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/** A Docker engine that hosts of a lab run. */
export interface Engine {
  /** As its dockerd says: `Docker version 29.99.0, build …`; undefined: there is none. */
  readonly version?: string;
  /** Its programs, which are looked for here first, then on the path; undefined: on the path alone. */
  readonly folder?: string;
}

/** Where `scripts/engines.sh` puts engines, each into a folder of its name. */
const cache = (): string =>
  process.env.WEAVE_ENGINES ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "weave-engines");

/**
 * The engine of a name such as `20.10` or `29`: from the cache, or this machine's own if it is that one.
 *
 * @param name by default the variable `WEAVE_TEST_ENGINE`; without one the engine is this machine's own
 * @throws Error: the engine that was named is not there
 */
export function chosenEngine(name = process.env.WEAVE_TEST_ENGINE): Engine {
  if (!name) return engineAt();
  const folder = join(cache(), name, "bin");
  const found = existsSync(folder) ? engineAt(folder) : engineAt();
  if (found.version?.includes(` ${name}.`)) return found;
  const reason = `engine ${name} is not in ${cache()} (there: ${found.version ?? "none"})`;
  throw new Error(`${reason}: scripts/engines.sh ${name} makes it`);
}

/** Whether the engine of the tests is of that major version, or a later one. */
export function engineAtLeast(major: number, { version }: Engine = chosenEngine()): boolean {
  return Number(/Docker version (\d+)\./.exec(version ?? "")?.[1] ?? 0) >= major;
}

function engineAt(folder?: string): Engine {
  const { status, stdout } = spawnSync("dockerd", ["--version"], { encoding: "utf8", env: engineEnvironment(folder) });
  return status === 0 ? { version: stdout.trim(), folder } : {};
}

/** The environment in which an engine's programs are found. */
export function engineEnvironment(folder: string | undefined): NodeJS.ProcessEnv {
  const path = `${process.env.PATH ?? ""}:/usr/sbin:/sbin`;
  return { ...process.env, PATH: folder === undefined ? path : `${folder}:${path}` };
}
