import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "#test/lab/docs/pages.js";

/**
 * Returns the folder of the bundle, build/bundle/, made from the present sources. It is built once, however many test files use
 * it at the same time.
 */
export function builtBundle(): string {
  const build = join(ROOT, "build");
  mkdirSync(build, { recursive: true });
  // The lock is free again when the program ends, however that happens (flock(1)).
  const { status, stderr } = spawnSync(
    "flock",
    [join(build, ".lock"), process.execPath, join(ROOT, "scripts/build/bundle.mjs"), "--if-changed"],
    { encoding: "utf8" },
  );
  if (status !== 0) throw new Error(`the bundle cannot be built: ${stderr}`);
  return join(build, "bundle");
}
