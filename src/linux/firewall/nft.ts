import { WeaveError } from "#src/errors.js";
import { CommandError, run } from "#src/linux/exec.js";
import { nftTrackingNeeded } from "#src/linux/firewall/conntrack.js";
import { type Firewall, type FirewallState, meshUdpPorts } from "#src/linux/firewall/firewall.js";

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
    trackingNeeded: nftTrackingNeeded,
    remove: () => load(clear),
  };
}

/** Before connection tracking. Forwarded datagrams, to a virtual machine for instance, are tracked. */
const untrackedChains = (port: number): string => `  chain prerouting {
    type filter hook prerouting priority -300; policy accept;
    udp dport ${port} fib daddr type local notrack
  }
  chain output {
    type filter hook output priority -300; policy accept;
    udp sport ${port} notrack
  }
`;

/** Matches packets from Docker's bridges: its default one, those of users' networks, and docker_gwbridge. */
function fromDocker({ dockerBridge, notDocker }: FirewallState): string[] {
  if (dockerBridge === undefined) return [];
  const except = notDocker.length === 0 ? "" : ` iifname != { ${notDocker.map((name) => `"${name}"`).join(", ")} }`;
  return [`iifname "${dockerBridge}"`, `iifname "br-*"${except}`, 'iifname "docker_gwbridge"'];
}

export function nftTable(state: FirewallState): string {
  const { bridge, hostPorts, meshPort, exposed, untracked } = state;
  const docker = fromDocker(state);
  const { first, last } = meshUdpPorts(meshPort);
  // nft rejects a range of one port.
  const udp = first === last ? `${first}` : `${first}-${last}`;
  const set = (ports: readonly number[]) => `{ ${[...new Set(ports)].join(", ")} }`;
  const local = hostPorts.length === 0 ? [] : [`ip daddr 127.0.0.0/8 tcp dport ${set(hostPorts)} iifname != "lo" drop`];
  // A container must not act as a peer, nor control the router, on any bridge of this host or of another one.
  const closed = [`iifname "${bridge}"`, ...docker].flatMap((from) => [
    `${from} tcp dport ${set([...hostPorts, meshPort])} drop`,
    `${from} udp dport ${udp} drop`,
  ]);
  // The same towards other hosts: masqueraded, a container would look like this host. Frames inside the bridge pass.
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
${lines([...local, ...closed])}  }
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
