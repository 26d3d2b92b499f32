import { run } from "#src/linux/exec.js";
import { iptablesTrackingNeeded } from "#src/linux/firewall/conntrack.js";
import {
  containerBridges,
  type Firewall,
  type FirewallState,
  kernelPathPorts,
  meshUdpPorts,
  type PortRange,
} from "#src/linux/firewall/firewall.js";

/** "full": all rules. "accept-only": only the rules that accept packets which other programs' rules would drop. */
export type RuleSet = "full" | "accept-only";

const FILTER = [
  ["filter", "INPUT", "WEAVE-CONTROL"],
  ["filter", "FORWARD", "WEAVE-EXPOSE"],
] as const;
const JUMPS = { "accept-only": FILTER, full: [...FILTER, ["nat", "POSTROUTING", "WEAVE"] as const] } as const;
/** Jumps for untracked datagrams, made only where needed: not every kernel has the table `raw`. */
const UNTRACKED = [
  ["raw", "PREROUTING", "WEAVE-UNTRACKED"],
  ["raw", "OUTPUT", "WEAVE-UNTRACKED"],
] as const;
type Jump = readonly [table: string, from: string, to: string];

/** A firewall of iptables: weave's rules are in chains of their own, with a jump to each from a chain of the host. */
export function iptablesFirewall(ruleSet: RuleSet): Firewall {
  /** The jumps of the last `apply`. */
  let jumps: readonly Jump[] = JUMPS[ruleSet];
  const succeeds = (args: readonly string[]) =>
    run("iptables", ["-w", ...args]).then(
      () => true,
      () => false,
    );
  /** The output of `list` after the last `apply`. */
  let made: string | undefined;
  /** Lists weave's chains, and whether the jumps to them exist. */
  const list = async (): Promise<string> => {
    const parts = await Promise.all(
      jumps.map(async ([table, from, to]) => [
        await run("iptables", ["-w", "-t", table, "-S", to]).catch(() => ""),
        await succeeds(["-t", table, "-C", from, "-j", to]),
      ]),
    );
    return parts.flat().join("\n");
  };
  /** Removes jumps and their chains; missing ones are no error. */
  const removeChains = async (chains: readonly Jump[]): Promise<void> => {
    for (const [table, from, to] of chains) while (await succeeds(["-t", table, "-D", from, "-j", to]));
    for (const [table, , to] of chains) {
      await succeeds(["-t", table, "-F", to]);
      await succeeds(["-t", table, "-X", to]);
    }
  };
  return {
    kind: "iptables",
    async apply(state) {
      const untracked = ruleSet === "full" && state.untracked;
      if (!untracked) await removeChains(UNTRACKED);
      jumps = [...JUMPS[ruleSet], ...(untracked ? UNTRACKED : [])];
      await run("iptables-restore", ["--noflush", "-w"], { input: iptablesRules(state, ruleSet) });
      for (const [table, from, to] of jumps) {
        if (!(await succeeds(["-t", table, "-C", from, "-j", to])))
          await run("iptables", ["-w", "-t", table, "-I", from, "-j", to]);
      }
      made = await list();
    },
    intact: async () => made === undefined || (await list()) === made,
    trackingNeeded: iptablesTrackingNeeded,
    remove: () => removeChains([...JUMPS[ruleSet], ...UNTRACKED]),
  };
}

/** Returns the rules as input of iptables-restore. */
export function iptablesRules(state: FirewallState, ruleSet: RuleSet): string {
  const { bridge, hostPorts, meshPort, clearTunnel, exposed, dockerBridge, notDocker } = state;
  const full = ruleSet === "full";
  const docker = containerBridges(dockerBridge).map((name) => name.replace("*", "+"));
  // The pattern `br-+` has no exceptions: packets of interfaces that it must not match return before the rules with it.
  const excepted = docker.length === 0 ? [] : notDocker;
  const udp = meshUdpPorts(meshPort);
  const local = hostPorts.map((port) => `! -i lo -d 127.0.0.0/8 -p tcp --dport ${port} -j DROP`);
  // A container must not act as a peer, nor control the router, on any bridge of this host or of another one.
  const closed = [bridge, ...docker].flatMap((name) => [
    ...new Set([...hostPorts, meshPort].map((port) => `-i ${name} -p tcp --dport ${port} -j DROP`)),
    `-i ${name} -p udp --dport ${udp.first}:${udp.last} -j DROP`,
  ]);
  // Nor may it act as a peer of other hosts: masqueraded, a container would look like this host. Frames inside the bridge pass.
  const beyond = [
    `-i ${bridge} ! -o ${bridge} -p tcp --dport ${meshPort} -j DROP`,
    `-i ${bridge} ! -o ${bridge} -p udp --dport ${udp.first}:${udp.last} -j DROP`,
  ];
  // Containers on all of Docker's bridges query weaveDNS at the address of Docker's default bridge.
  const dns = docker.flatMap((name) =>
    ["udp", "tcp"].map((protocol) => `-i ${name} -p ${protocol} --dport 53 -j ACCEPT`),
  );
  const isolation = docker.map((name) => `-i ${name} -o ${bridge} -j DROP`);
  const accept = [
    `-o ${bridge} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`,
    ...exposed.map(({ subnet }) => `-o ${bridge} -d ${subnet} -j ACCEPT`),
  ];
  const nat = exposed
    .filter(({ masquerade }) => masquerade)
    .flatMap(({ subnet }) => [
      `-s ${subnet} ! -d ${subnet} -j MASQUERADE`,
      `! -s ${subnet} -d ${subnet} -o ${bridge} -j MASQUERADE`,
    ]);
  const chain = (name: string, rules: readonly string[]) => rules.map((rule) => `-A ${name} ${rule}`);
  // In the format of iptables-restore, a line `:NAME` makes the chain or empties it.
  return [
    "*filter",
    ":WEAVE-CONTROL - [0:0]",
    ":WEAVE-EXPOSE - [0:0]",
    ...chain("WEAVE-CONTROL", [
      ...(full ? local : []),
      ...excepted.map((name) => `-i ${name} -j RETURN`),
      ...(full ? closed : []),
      ...dns,
      ...(full ? tunnelRules(clearTunnel) : []),
    ]),
    ...chain("WEAVE-EXPOSE", [
      ...excepted.flatMap((name) => [...accept.map((rule) => `-i ${name} ${rule}`), `-i ${name} -j RETURN`]),
      ...isolation,
      ...(full ? beyond : []),
      `-i ${bridge} -j ACCEPT`,
      ...accept,
    ]),
    "COMMIT",
    ...(full ? ["*nat", ":WEAVE - [0:0]", ...chain("WEAVE", ["-d 224.0.0.0/4 -j RETURN", ...nat]), "COMMIT"] : []),
    ...(full && state.untracked ? untrackedRules(meshPort) : []),
    "",
  ].join("\n");
}

/** Rules for the senders of VXLAN in clear, which the kernel does not check. They come last: RETURN ends weave's chain. */
function tunnelRules(tunnel: FirewallState["clearTunnel"]): string[] {
  if (tunnel === undefined) return [];
  const match = `-p udp --dport ${tunnel.port}`;
  return [...tunnel.subnets.map((subnet) => `${match} -s ${subnet} -j RETURN`), `${match} -j DROP`];
}

/** Rules of the table `raw`, which precedes connection tracking. Forwarded datagrams, of a virtual machine for example, stay tracked. */
function untrackedRules(port: number): string[] {
  const range = ({ first, last }: PortRange) => `${first}:${last}`;
  const [all, kernel] = [meshUdpPorts(port), kernelPathPorts(port)];
  const rule = (match: string) => `-A WEAVE-UNTRACKED -p udp ${match} -j CT --notrack`;
  return [
    "*raw",
    ":WEAVE-UNTRACKED - [0:0]",
    rule(`--dport ${range(all)} -m addrtype --dst-type LOCAL`),
    rule(`--sport ${range(all)} -m addrtype --src-type LOCAL`),
    ...kernel.map((ports) => rule(`--dport ${range(ports)} -m addrtype --src-type LOCAL`)),
    "COMMIT",
  ];
}
