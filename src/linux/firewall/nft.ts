import { WeaveError } from "#src/errors.js";
import { CommandError, run } from "#src/linux/exec.js";
import { nftTrackingNeeded } from "#src/linux/firewall/conntrack.js";
import {
  containerBridges,
  type Firewall,
  type FirewallState,
  kernelPathPorts,
  meshUdpPorts,
  type PortRange,
} from "#src/linux/firewall/firewall.js";

const TABLE = "inet weave";

/** A firewall of one nft table (nft(8)): the table is deleted and made again in one transaction. */
export function nftFirewall(): Firewall {
  // The table is declared first, so that the deletion does not fail where it is missing.
  const clear = `table ${TABLE} {}\ndelete table ${TABLE}\n`;
  /** The output of `list` after the last `apply`. */
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
    trackingNeeded: nftTrackingNeeded,
    remove: () => load(clear),
  };
}

/** A range of ports. nft rejects one of a single port. */
const range = ({ first, last }: PortRange): string => (first === last ? `${first}` : `${first}-${last}`);

/** Chains that precede connection tracking. Forwarded datagrams, of a virtual machine for example, stay tracked. */
const untrackedChains = (port: number): string => `  chain prerouting {
    type filter hook prerouting priority -300; policy accept;
    udp dport ${range(meshUdpPorts(port))} fib daddr type local notrack
  }
  chain output {
    type filter hook output priority -300; policy accept;
    udp sport ${range(meshUdpPorts(port))} notrack
${kernelPathPorts(port)
  .map((ports) => `    udp dport ${range(ports)} notrack\n`)
  .join("")}  }
`;

/** Returns matches of packets from the engine's bridges. */
function fromDocker({ dockerBridge, notDocker }: FirewallState): string[] {
  const except = notDocker.length === 0 ? "" : ` iifname != { ${notDocker.map((name) => `"${name}"`).join(", ")} }`;
  return containerBridges(dockerBridge).map((name) => `iifname "${name}"${name === "br-*" ? except : ""}`);
}

/** Returns the table as input of nft. */
export function nftTable(state: FirewallState): string {
  const { bridge, hostPorts, meshPort, clearTunnel, exposed, untracked } = state;
  const docker = fromDocker(state);
  const udp = range(meshUdpPorts(meshPort));
  const set = (ports: readonly number[]) => `{ ${[...new Set(ports)].join(", ")} }`;
  const local = hostPorts.length === 0 ? [] : [`ip daddr 127.0.0.0/8 tcp dport ${set(hostPorts)} iifname != "lo" drop`];
  // The kernel checks no sender of VXLAN. Not a set: nft rejects one whose networks overlap.
  const tunnel =
    clearTunnel === undefined
      ? []
      : [
          `udp dport ${clearTunnel.port} ${clearTunnel.subnets.map((subnet) => `ip saddr != ${subnet}`).join(" ")} drop`,
        ];
  // A container must not act as a peer, nor control the router, on any bridge of this host or of another one.
  const closed = [`iifname "${bridge}"`, ...docker].flatMap((from) => [
    `${from} tcp dport ${set([...hostPorts, meshPort])} drop`,
    `${from} udp dport ${udp} drop`,
  ]);
  // Nor may it act as a peer of other hosts: masqueraded, a container would look like this host. Frames inside the bridge pass.
  const beyond = [
    `iifname "${bridge}" oifname != "${bridge}" tcp dport ${meshPort} drop`,
    `iifname "${bridge}" oifname != "${bridge}" udp dport ${udp} drop`,
  ];
  const isolation = docker.map((from) => `${from} oifname "${bridge}" drop`);
  const nat = exposed
    .filter(({ masquerade }) => masquerade)
    .flatMap(({ subnet }) => [
      `ip saddr ${subnet} ip daddr != ${subnet} masquerade`,
      `ip saddr != ${subnet} ip daddr ${subnet} oifname "${bridge}" masquerade`,
    ]);
  const lines = (rules: readonly string[]) => rules.map((rule) => `    ${rule}\n`).join("");
  return `table ${TABLE} {
${untracked ? untrackedChains(meshPort) : ""}  chain input {
    type filter hook input priority -10; policy accept;
${lines([...local, ...closed, ...tunnel])}  }
  chain forward {
    type filter hook forward priority -10; policy accept;
${lines([
  ...isolation,
  ...beyond,
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
