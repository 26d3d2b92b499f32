import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { hasTool } from "#src/linux/exec.js";

/**
 * Why a test that needs a program cannot run here; undefined where it can. The set-up installs such programs: under CI one that
 * is missing is a failure, lest tests be skipped unseen.
 *
 * @param tool the program, as found on the path; or the path of another file
 * @param from the Debian package that has it
 * @param required whether to throw when it is missing
 */
export function programMissing(tool: string, from: string, required = Boolean(process.env.CI)): string | undefined {
  if (tool.startsWith("/") ? existsSync(tool) : hasTool(tool)) return undefined;
  const reason = `needs ${tool} (apt-get install ${from})`;
  if (required) throw new Error(`${reason}: scripts/with-setup.sh should have installed it`);
  return reason;
}

/** Why tests that need real interfaces cannot run here; undefined where they can. */
export function hostTestsImpossible(): string | undefined {
  if (process.getuid?.() !== 0) return "needs root: network namespaces and TAP devices";
  if (!existsSync("/dev/net/tun")) return "needs /dev/net/tun";
  const probe = `weave-probe-${process.pid}`;
  if (spawnSync("ip", ["netns", "add", probe]).status !== 0) return "needs the right to make network namespaces";
  spawnSync("ip", ["netns", "delete", probe]);
  return undefined;
}
