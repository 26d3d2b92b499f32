import { printDocument } from "#cli/json/document.js";
import { coloured } from "#cli/support/colour.js";
import { rejectExtra } from "#cli/support/exit.js";
import { HOST_CHECKS, type HostCheckResult, hostCheckResult } from "#cli/support/host-checks.js";
import { launchedBridge } from "#cli/support/launched.js";
import { writeManagerFiles } from "#cli/support/network-managers.js";
import { progress } from "#cli/support/progress.js";
import { readFlags } from "#cli/support/read-flags.js";
import { installCommands } from "#src/linux/packages.js";
import { requireRoot } from "#src/root.js";

/** Columns of the checks' names in the output. */
const NAME_COLUMNS = 9;
/** Columns of their results. */
const RESULT_COLUMNS = 7;

/**
 * `weave setup [--network-managers]`: checks whether this host has everything that weave needs. Without the flag it changes nothing.
 */
export async function run(args: readonly string[]): Promise<void> {
  const { values, words } = readFlags("setup", args);
  rejectExtra(words);
  if (values.networkManagers) {
    requireRoot();
    const files = await writeManagerFiles(launchedBridge());
    if (values.json) return printDocument("setup-network-managers", { Written: files });
    if (files.length === 0) console.log("neither NetworkManager nor systemd-networkd is in use on this host");
    for (const file of files) console.log(`wrote ${file}`);
    return;
  }
  const lacking: string[] = [];
  const results: HostCheckResult[] = [];
  for (const check of HOST_CHECKS) {
    const result = await progress(`checking ${check.name}`, () => hostCheckResult(check));
    results.push(result);
    if (result.Result !== "ok" && check.tool !== undefined) lacking.push(check.tool);
    if (result.Result === "missing") process.exitCode = 1;
    if (!values.json) console.log(lineOf(result));
  }
  if (values.json)
    return printDocument("setup", { Checks: results, Install: lacking.length > 0 ? installCommands(lacking) : [] });
  // One command for all: a package for each failure above.
  if (lacking.length > 0)
    console.log(
      `\nInstall as root:\n${installCommands(lacking)
        .map((line) => `  ${line}\n`)
        .join("")}`.trimEnd(),
    );
}

function lineOf({ Name, Result, Text }: HostCheckResult): string {
  const word = Result === "missing" ? "MISSING" : Result;
  const colour = { ok: "green", limited: "yellow", missing: "red" } as const;
  return `${Name.padEnd(NAME_COLUMNS)} ${coloured(word.padEnd(RESULT_COLUMNS), colour[Result])}  ${Text}`;
}
