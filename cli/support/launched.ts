import { readFileSync } from "node:fs";
import type { LaunchOptions } from "#router/options.js";
import { launchFile, paths } from "#src/paths.js";

/** What the router was launched with, if it ever was. */
export function launchOptions(): Partial<LaunchOptions> {
  try {
    return JSON.parse(readFileSync(launchFile(paths().run), "utf8")) as Partial<LaunchOptions>;
  } catch {
    return {};
  }
}

export function launchedBridge(): string {
  return launchOptions().bridge ?? "weave";
}
