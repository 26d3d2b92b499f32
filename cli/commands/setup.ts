import { release } from "node:os";
import { rejectExtra } from "#cli/support/exit.js";
import { readFlags } from "#cli/support/read-flags.js";
import { engine } from "#cli/support/without-router.js";
import { errorText } from "#src/errors.js";
import { hasTool, run as runTool } from "#src/linux/exec.js";
import { hostFirewall } from "#src/linux/firewall/host-firewall.js";
import { isRoot, NOT_ROOT } from "#src/root.js";

interface Check {
  readonly what: string;
  /** Returns a description of a good result; throws the reason of a bad one. */
  readonly look: () => string | Promise<string>;
  /** Weave runs without it. */
  readonly optional?: boolean;
}

const CHECKS: readonly Check[] = [
  { what: "root", look: () => must(isRoot(), "uid 0", NOT_ROOT) },
  {
    what: "kernel",
    look: () =>
      must(
        Number.parseFloat(release()) >= 4.18,
        release(),
        `Linux ${release()} is too old: 4.18 or later has all that we use`,
      ),
  },
  { what: "node", look: () => process.version },
  // Programs of BusyBox have the same names, but lack options that weave needs, and these too.
  { what: "ip", look: async () => (await runTool("ip", ["-V"])).trim() },
  { what: "nsenter", look: async () => (await runTool("nsenter", ["--version"])).trim() },
  {
    what: "TAP",
    async look() {
      const { openTap } = await import("#src/linux/native/tap.js");
      const tap = openTap("weave-check", 1, { vnetHeader: true, tso: true, uso: true });
      tap.close();
      const { vnetHeader, tso, uso } = tap.offloads;
      const has = [vnetHeader && "virtio headers", tso && "TSO", uso && "USO"].filter((name) => name !== false);
      return has.length > 0 ? `opens, with ${has.join(", ")}` : "opens, without offloads: slow";
    },
  },
  {
    what: "cipher",
    async look() {
      const { recordCipher } = await import("#src/linux/native/record-cipher-choice.js");
      const { title, setupNote } = recordCipher({ encrypted: true });
      return `${title}${setupNote}`;
    },
  },
  {
    what: "firewall",
    optional: true,
    look: () =>
      hostFirewall(hasTool("dockerd"))?.kind ??
      fail("neither nft nor iptables: 'weave expose' needs --without-masquerade. apt-get install nftables"),
  },
  {
    what: "Docker",
    optional: true,
    async look() {
      const docker = engine();
      if (docker === undefined) return fail("no engine on this host: containers are attached as namespaces");
      return `API ${await docker.negotiate()}`;
    },
  },
];

/** `weave setup`: checks whether this host has everything that weave needs, and changes nothing. */
export async function run(args: readonly string[]): Promise<void> {
  rejectExtra(readFlags("setup", args).words);
  for (const { what, look, optional } of CHECKS) {
    try {
      console.log(`${what.padEnd(9)} ok       ${await look()}`);
    } catch (error) {
      if (!optional) process.exitCode = 1;
      console.log(`${what.padEnd(9)} ${optional ? "limited" : "MISSING"}  ${errorText(error).replaceAll("\n", " ")}`);
    }
  }
}

function must(good: boolean, found: string, why: string): string {
  return good ? found : fail(why);
}

function fail(why: string): never {
  throw new Error(why);
}
