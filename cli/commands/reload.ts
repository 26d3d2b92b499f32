import { readFileSync, writeFileSync } from "node:fs";
import { printDocument } from "#cli/json/document.js";
import { callJson } from "#cli/support/client.js";
import { rejectExtra } from "#cli/support/exit.js";
import { readFlags } from "#cli/support/read-flags.js";
import type { LaunchOptions } from "#router/options.js";
import { WeaveError } from "#src/errors.js";
import type { LogLevel } from "#src/log.js";
import { controlSocket, launchFile, paths } from "#src/paths.js";
import { requireRoot } from "#src/root.js";

/** `weave reload [--log-level LEVEL]`: has the running router apply the log level, without a restart. */
export async function run(args: readonly string[]): Promise<void> {
  const { values, words } = readFlags("reload", args);
  rejectExtra(words);
  requireRoot();
  const { run: folder } = paths();
  if (values.logLevel !== undefined) setLogLevel(launchFile(folder), values.logLevel);
  const { logLevel } = await callJson<{ logLevel: LogLevel }>({
    method: "POST",
    path: "/reload",
    address: controlSocket(folder),
  });
  if (values.json) return printDocument("reload", { LogLevel: logLevel });
  process.stdout.write(`log level: ${logLevel}\n`);
}

/** Changes one option in the launch file, which the router reads; a supervisor process starts it from this file, too. @throws WEAVE_NOT_RUNNING */
function setLogLevel(file: string, logLevel: LogLevel): void {
  let options: LaunchOptions;
  try {
    options = JSON.parse(readFileSync(file, "utf8")) as LaunchOptions;
  } catch {
    throw new WeaveError("WEAVE_NOT_RUNNING", "weave is not running. Have you launched it?");
  }
  writeFileSync(file, JSON.stringify({ ...options, logLevel }), { mode: 0o600 });
}
