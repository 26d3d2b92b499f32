import { release } from "node:os";
import { cniPluginState } from "#cli/cni/plugin-files.js";
import { printDocument } from "#cli/json/document.js";
import { coloured } from "#cli/support/colour.js";
import { COMMANDS } from "#cli/support/command-table.js";
import { rejectExtra } from "#cli/support/exit.js";
import { isKernelNewEnough, OLDEST_KERNEL } from "#cli/support/kernel.js";
import { launchedBridge } from "#cli/support/launched.js";
import { networkManagers, writeManagerFiles } from "#cli/support/network-managers.js";
import { readFlags } from "#cli/support/read-flags.js";
import { engine } from "#cli/support/without-router.js";
import { errorText, WeaveError } from "#src/errors.js";
import { defaultValue } from "#src/flag.js";
import { checkInstallation } from "#src/installation.js";
import { hasTool, run as runTool } from "#src/linux/exec.js";
import { hostFirewall } from "#src/linux/firewall/host-firewall.js";
import { installCommands } from "#src/linux/packages.js";
import { isRoot, NOT_ROOT, requireRoot } from "#src/root.js";

/** Columns of the checks' names in the output. */
const NAME_COLUMNS = 9;
/** Columns of their results. */
const RESULT_COLUMNS = 7;

interface Check {
  readonly name: string;
  /** Returns a description of a good result. @throws Error with the reason of a bad one */
  readonly check: () => string | Promise<string>;
  /** Whether weave runs without it. */
  readonly optional?: boolean;
  /** The tool that a package brings, if the check fails without it. */
  readonly tool?: string;
}

const CHECKS: readonly Check[] = [
  { name: "root", check: () => must(isRoot(), "uid 0", NOT_ROOT) },
  {
    name: "kernel",
    check: () =>
      must(
        isKernelNewEnough(release()),
        release(),
        `Linux ${release()} is too old: weave needs ${OLDEST_KERNEL} or later`,
      ),
  },
  { name: "node", check: () => process.version },
  {
    name: "files",
    check: () => (checkInstallation() > 0 ? "complete" : "a checkout, which has no list of its files"),
  },
  // BusyBox has programs of these names without options that weave needs. They reject these options, too.
  { name: "ip", tool: "ip", check: async () => (await runTool("ip", ["-V"])).trim() },
  { name: "nsenter", tool: "nsenter", check: async () => (await runTool("nsenter", ["--version"])).trim() },
  {
    name: "TAP",
    async check() {
      const { openTap } = await import("#src/linux/native/tap.js");
      const tap = openTap("weave-check", 1, { vnetHeader: true, tso: true, uso: true });
      tap.close();
      const { vnetHeader, tso, uso } = tap.offloads;
      const has = [vnetHeader && "virtio headers", tso && "TSO", uso && "USO"].filter((name) => name !== false);
      return has.length > 0 ? `opens, with ${has.join(", ")}` : "opens, without offloads: slow";
    },
  },
  {
    name: "cipher",
    async check() {
      const { recordCipher } = await import("#src/linux/native/record-cipher-choice.js");
      const { title, setupNote } = recordCipher({ encrypted: true });
      return `${title}${setupNote}`;
    },
  },
  {
    name: "firewall",
    optional: true,
    tool: "nft",
    check: () =>
      hostFirewall(hasTool("dockerd"))?.kind ??
      fail("neither nft nor iptables: 'weave expose' needs --without-masquerade"),
  },
  {
    name: "managers",
    optional: true,
    async check() {
      const managers = await networkManagers(launchedBridge());
      const list = (isSet: boolean) => managers.filter((each) => each.isSet === isSet).map(({ name }) => name);
      if (list(false).length > 0)
        return fail(
          `${list(false).join(" and ")} may change weave's interfaces. 'weave setup --network-managers' prevents it`,
        );
      return managers.length === 0
        ? "neither NetworkManager nor systemd-networkd is in use"
        : `${list(true).join(" and ")}: weave's interfaces are left alone`;
    },
  },
  {
    name: "Docker",
    optional: true,
    async check() {
      const docker = engine();
      if (docker === undefined) return fail("no engine on this host: containers are attached as namespaces");
      return `API ${await docker.negotiate()}`;
    },
  },
  {
    name: "CNI",
    optional: true,
    check() {
      const folder = defaultValue(COMMANDS["setup-cni"].flags.pluginDir, process.env);
      const state = cniPluginState(folder);
      if (state === "other")
        return fail(`the plugin in ${folder} is of another version, or not complete. 'weave setup-cni' replaces it`);
      return state === "current" ? `the plugin is in ${folder}` : "no plugin; 'weave setup-cni' installs it";
    },
  },
];

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
  const results: CheckResult[] = [];
  for (const check of CHECKS) {
    const result = await resultOf(check);
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

/** The result of a check, as in the JSON of this command. */
interface CheckResult {
  readonly Name: string;
  readonly Result: "ok" | "limited" | "missing";
  readonly Text: string;
}

async function resultOf({ name, check, optional }: Check): Promise<CheckResult> {
  try {
    return { Name: name, Result: "ok", Text: await check() };
  } catch (error) {
    return { Name: name, Result: optional ? "limited" : "missing", Text: reasonOf(error) };
  }
}

function lineOf({ Name, Result, Text }: CheckResult): string {
  const word = Result === "missing" ? "MISSING" : Result;
  const colour = { ok: "green", limited: "yellow", missing: "red" } as const;
  return `${Name.padEnd(NAME_COLUMNS)} ${coloured(word.padEnd(RESULT_COLUMNS), colour[Result])}  ${Text}`;
}

/** An error on one line. The packages of missing tools follow all checks. */
function reasonOf(error: unknown): string {
  const text = error instanceof WeaveError && error.code === "WEAVE_TOOL_MISSING" ? error.message : errorText(error);
  return text.replaceAll(/([.:]?)\n/g, (_, mark: string) => `${mark || "."} `);
}

/** Returns `found` if a condition holds. @throws Error with `why` otherwise */
function must(holds: boolean, found: string, why: string): string {
  return holds ? found : fail(why);
}

function fail(why: string): never {
  throw new Error(why);
}
