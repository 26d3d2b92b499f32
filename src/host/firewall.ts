import { WeaveError } from "#src/errors.js";
import { CommandError, hasTool, run } from "#src/host/exec.js";

/** What the firewall must hold; the whole of it, whenever it changes. */
export interface FirewallState {
  readonly bridge: string;
  /** Control API on 127.0.0.1: packets from elsewhere must never reach it, whatever the host's routing allows. */
  readonly controlPort: number | undefined;
  /** Subnets of addresses that the host has on the bridge. */
  readonly exposed: readonly { readonly subnet: string; readonly masquerade: boolean }[];
}

/** One set of rules, made anew as a whole: nothing of an earlier state can stay behind. */
export interface Firewall {
  readonly kind: "nft" | "iptables";
  apply(state: FirewallState): Promise<void>;
  remove(): Promise<void>;
}

/** By `nft` where the host has it, else by its own iptables; undefined without either. */
export function hostFirewall(): Firewall | undefined {
  if (hasTool("nft")) return nftFirewall();
  if (hasTool("iptables-restore")) return iptablesFirewall();
  return undefined;
}

export function firewallMissing(): WeaveError {
  return new WeaveError(
    "WEAVE_TOOL_MISSING",
    "neither nft nor iptables is on this host: packets cannot be masqueraded",
    {
      next: "Install one ('apt-get install nftables'), or use --without-masquerade.",
    },
  );
}

const TABLE = "inet weave";

/** One table of our own (nft(8)): `delete` and `add` are one transaction. */
function nftFirewall(): Firewall {
  // Declared first, so that deleting it never fails.
  const clear = `table ${TABLE} {}\ndelete table ${TABLE}\n`;
  const load = async (script: string) => {
    try {
      await run("nft", ["-f", "-"], { input: script });
    } catch (cause) {
      const why = cause instanceof CommandError ? cause.stderr : String(cause);
      throw new WeaveError("WEAVE_FIREWALL", `nft refused our rules: ${why}`, {
        cause,
        next: "Check that the kernel has nf_tables ('modprobe nf_tables').",
      });
    }
  };
  return {
    kind: "nft",
    apply: (state) => load(clear + nftTable(state)),
    remove: () => load(clear),
  };
}

export function nftTable({ bridge, controlPort, exposed }: FirewallState): string {
  const control =
    controlPort === undefined
      ? ""
      : `ip daddr 127.0.0.1 tcp dport ${controlPort} iifname != "lo" drop comment "weave: control port"`;
  const nat = exposed
    .filter(({ masquerade }) => masquerade)
    .flatMap(({ subnet }) => [
      `ip saddr ${subnet} ip daddr != ${subnet} masquerade`,
      `ip saddr != ${subnet} ip daddr ${subnet} oifname "${bridge}" masquerade`,
    ]);
  return `table ${TABLE} {
  chain input {
    type filter hook input priority -10; policy accept;
    ${control}
  }
  chain forward {
    type filter hook forward priority -10; policy accept;
    iifname "${bridge}" accept
    oifname "${bridge}" ct state established,related accept
    ${exposed.map(({ subnet }) => `oifname "${bridge}" ip daddr ${subnet} accept`).join("\n    ")}
  }
  chain postrouting {
    type nat hook postrouting priority 100; policy accept;
    ip daddr 224.0.0.0/4 return
    ${nat.join("\n    ")}
  }
}
`;
}

/** Chains of our own, reached by one jump from each of the host's. */
function iptablesFirewall(): Firewall {
  const jumps = [
    ["filter", "INPUT", "WEAVE-CONTROL"],
    ["filter", "FORWARD", "WEAVE-EXPOSE"],
    ["nat", "POSTROUTING", "WEAVE"],
  ] as const;
  const succeeds = (args: readonly string[]) =>
    run("iptables", ["-w", ...args]).then(
      () => true,
      () => false,
    );
  return {
    kind: "iptables",
    async apply(state) {
      await run("iptables-restore", ["--noflush", "-w"], { input: iptablesRules(state) });
      for (const [table, from, to] of jumps) {
        if (!(await succeeds(["-t", table, "-C", from, "-j", to])))
          await run("iptables", ["-w", "-t", table, "-I", from, "-j", to]);
      }
    },
    async remove() {
      for (const [table, from, to] of jumps) {
        while (await succeeds(["-t", table, "-D", from, "-j", to]));
        await succeeds(["-t", table, "-F", to]);
        await succeeds(["-t", table, "-X", to]);
      }
    },
  };
}

export function iptablesRules({ bridge, controlPort, exposed }: FirewallState): string {
  const control =
    controlPort === undefined ? [] : [`-A WEAVE-CONTROL ! -i lo -d 127.0.0.1 -p tcp --dport ${controlPort} -j DROP`];
  const forward = [
    `-A WEAVE-EXPOSE -i ${bridge} -j ACCEPT`,
    `-A WEAVE-EXPOSE -o ${bridge} -m state --state RELATED,ESTABLISHED -j ACCEPT`,
    ...exposed.map(({ subnet }) => `-A WEAVE-EXPOSE -o ${bridge} -d ${subnet} -j ACCEPT`),
  ];
  const nat = exposed
    .filter(({ masquerade }) => masquerade)
    .flatMap(({ subnet }) => [
      `-A WEAVE -s ${subnet} ! -d ${subnet} -j MASQUERADE`,
      `-A WEAVE ! -s ${subnet} -d ${subnet} -o ${bridge} -j MASQUERADE`,
    ]);
  // A chain line in restore format makes the chain, or empties it.
  return [
    "*filter",
    ":WEAVE-CONTROL - [0:0]",
    ":WEAVE-EXPOSE - [0:0]",
    ...control,
    ...forward,
    "COMMIT",
    "*nat",
    ":WEAVE - [0:0]",
    "-A WEAVE -d 224.0.0.0/4 -j RETURN",
    ...nat,
    "COMMIT",
    "",
  ].join("\n");
}
