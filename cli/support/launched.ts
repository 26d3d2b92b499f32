import { readFileSync } from "node:fs";
import type { LaunchOptions } from "#router/options.js";
import { launchFile, paths } from "#src/paths.js";

/** Options of the last launch on this host; empty if there was none. */
export function launchOptions(): Partial<LaunchOptions> {
  try {
    return JSON.parse(readFileSync(launchFile(paths().run), "utf8")) as Partial<LaunchOptions>;
  } catch {
    return {};
  }
}

/** Name of the bridge of the last launch. */
export function launchedBridge(): string {
  return launchOptions().bridge ?? "weave";
}
