import { release } from "node:os";
import { cniPluginState } from "#cli/cni/plugin-files.js";
import { COMMANDS } from "#cli/support/command-table.js";
import { isKernelNewEnough, OLDEST_KERNEL } from "#cli/support/kernel.js";
import { launchedBridge } from "#cli/support/launched.js";
import { managersRemedy, networkManagers } from "#cli/support/network-managers.js";
import { engine } from "#cli/support/without-router.js";
import { errorText, WeaveError } from "#src/errors.js";
import { defaultValue } from "#src/flag.js";
import { checkInstallation } from "#src/installation.js";
import { hasTool, run as runTool } from "#src/linux/exec.js";
import { hostFirewall } from "#src/linux/firewall/host-firewall.js";
import { isRoot, NOT_ROOT } from "#src/root.js";

/** A requirement of weave. */
export interface HostCheck {
  readonly name: string;
  /** Returns a description of a good result. @throws Error with the reason of a bad one */
  readonly check: () => string | Promise<string>;
  /** Whether weave runs without it. */
  readonly optional?: boolean;
  /** The tool that a package brings, if the check fails without it. */
  readonly tool?: string;
}

/** The requirements of weave on a host: `weave setup` and `weave doctor` show them. */
export const HOST_CHECKS: readonly HostCheck[] = [
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
        return fail(`${list(false).join(" and ")} may change weave's interfaces. ${managersRemedy}`);
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

/** The result of a check, as in the JSON of this command. */
export interface HostCheckResult {
  readonly Name: string;
  readonly Result: "ok" | "limited" | "missing";
  readonly Text: string;
}

/** Runs a check. */
export async function hostCheckResult({ name, check, optional }: HostCheck): Promise<HostCheckResult> {
  try {
    return { Name: name, Result: "ok", Text: await check() };
  } catch (error) {
    return { Name: name, Result: optional ? "limited" : "missing", Text: reasonOf(error) };
  }
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
