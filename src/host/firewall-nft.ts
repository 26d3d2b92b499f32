import { WeaveError } from "#src/errors.js";
import { CommandError, run } from "#src/host/exec.js";
import type { Firewall, FirewallState } from "#src/host/firewall.js";

const TABLE = "inet weave";

/** One table of our own (nft(8)): `delete` and `add` are one transaction. */
export function nftFirewall(): Firewall {
  // Declared first, so that deleting it never fails.
  const clear = `table ${TABLE} {}\ndelete table ${TABLE}\n`;
  let made: string | undefined;
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
  const list = () => run("nft", ["--stateless", "list", "table", ...TABLE.split(" ")]).catch(() => "");
  return {
    kind: "nft",
    async apply(state) {
      await load(clear + nftTable(state));
      made = await list();
    },
    intact: async () => made === undefined || (await list()) === made,
    remove: () => load(clear),
  };
}

/** Other bridges of Docker's: of networks that users make, and of its way out. */
const DOCKER_BRIDGES = ['"br-*"', '"docker_gwbridge"'];

export function nftTable({ bridge, controlPort, meshPort, exposed, dockerBridge }: FirewallState): string {
  const docker = dockerBridge === undefined ? [] : [`"${dockerBridge}"`, ...DOCKER_BRIDGES];
  const control =
    controlPort === undefined
      ? []
      : [
          `ip daddr 127.0.0.1 tcp dport ${controlPort} iifname != "lo" drop comment "weave: control port"`,
          ...[`"${bridge}"`, ...docker].map((name) => `iifname ${name} tcp dport ${controlPort} drop`),
        ];
  // A container on Docker's bridge must neither speak as a peer nor reach the overlay past its own interface.
  const peers = docker.flatMap((name) => [
    `iifname ${name} tcp dport ${meshPort} drop`,
    `iifname ${name} udp dport ${meshPort}-${meshPort + 1} drop`,
  ]);
  const isolation = docker.map((name) => `iifname ${name} oifname "${bridge}" drop`);
  const nat = exposed
    .filter(({ masquerade }) => masquerade)
    .flatMap(({ subnet }) => [
      `ip saddr ${subnet} ip daddr != ${subnet} masquerade`,
      `ip saddr != ${subnet} ip daddr ${subnet} oifname "${bridge}" masquerade`,
    ]);
  const lines = (rules: readonly string[]) => rules.map((rule) => `    ${rule}\n`).join("");
  return `table ${TABLE} {
  chain input {
    type filter hook input priority -10; policy accept;
${lines([...control, ...peers])}  }
  chain forward {
    type filter hook forward priority -10; policy accept;
${lines([
  ...isolation,
  `iifname "${bridge}" accept`,
  `oifname "${bridge}" ct state established,related accept`,
  ...exposed.map(({ subnet }) => `oifname "${bridge}" ip daddr ${subnet} accept`),
])}  }
  chain postrouting {
    type nat hook postrouting priority 100; policy accept;
${lines(["ip daddr 224.0.0.0/4 return", ...nat])}  }
}
`;
}
