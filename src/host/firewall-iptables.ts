import { run } from "#src/host/exec.js";
import type { Firewall, FirewallState } from "#src/host/firewall.js";

/** All that we want, or only what lets packets through where others would drop them. */
export type Extent = "everything" | "passage";

const FILTER = [
  ["filter", "INPUT", "WEAVE-CONTROL"],
  ["filter", "FORWARD", "WEAVE-EXPOSE"],
] as const;
const JUMPS = { passage: FILTER, everything: [...FILTER, ["nat", "POSTROUTING", "WEAVE"] as const] } as const;

/** Chains of our own, reached by one jump from each of the host's. */
export function iptablesFirewall(extent: Extent): Firewall {
  const jumps = JUMPS[extent];
  const succeeds = (args: readonly string[]) =>
    run("iptables", ["-w", ...args]).then(
      () => true,
      () => false,
    );
  let made: string | undefined;
  /** Our chains, and whether the jumps to them are there. */
  const list = async (): Promise<string> => {
    const parts = await Promise.all(
      jumps.map(async ([table, from, to]) => [
        await run("iptables", ["-w", "-t", table, "-S", to]).catch(() => ""),
        await succeeds(["-t", table, "-C", from, "-j", to]),
      ]),
    );
    return parts.flat().join("\n");
  };
  return {
    kind: "iptables",
    async apply(state) {
      await run("iptables-restore", ["--noflush", "-w"], { input: iptablesRules(state, extent) });
      for (const [table, from, to] of jumps) {
        if (!(await succeeds(["-t", table, "-C", from, "-j", to])))
          await run("iptables", ["-w", "-t", table, "-I", from, "-j", to]);
      }
      made = await list();
    },
    intact: async () => made === undefined || (await list()) === made,
    async remove() {
      for (const [table, from, to] of jumps) {
        while (await succeeds(["-t", table, "-D", from, "-j", to]));
        await succeeds(["-t", table, "-F", to]);
        await succeeds(["-t", table, "-X", to]);
      }
    },
  };
}

export function iptablesRules(state: FirewallState, extent: Extent): string {
  const { bridge, controlPort, meshPort, exposed, dockerBridge } = state;
  const everything = extent === "everything";
  const docker = dockerBridge === undefined ? [] : [dockerBridge, "br-+", "docker_gwbridge"];
  const control =
    controlPort === undefined || !everything
      ? []
      : [
          `! -i lo -d 127.0.0.1 -p tcp --dport ${controlPort} -j DROP`,
          ...[bridge, ...docker].map((name) => `-i ${name} -p tcp --dport ${controlPort} -j DROP`),
        ];
  const peers = !everything
    ? []
    : docker.flatMap((name) => [
        `-i ${name} -p tcp --dport ${meshPort} -j DROP`,
        `-i ${name} -p udp --dport ${meshPort}:${meshPort + 1} -j DROP`,
      ]);
  // Containers ask weaveDNS at the address of Docker's bridge, from whichever bridge they are on.
  const dns = docker.flatMap((name) =>
    ["udp", "tcp"].map((protocol) => `-i ${name} -p ${protocol} --dport 53 -j ACCEPT`),
  );
  const isolation = docker.map((name) => `-i ${name} -o ${bridge} -j DROP`);
  const nat = exposed
    .filter(({ masquerade }) => masquerade)
    .flatMap(({ subnet }) => [
      `-s ${subnet} ! -d ${subnet} -j MASQUERADE`,
      `! -s ${subnet} -d ${subnet} -o ${bridge} -j MASQUERADE`,
    ]);
  const chain = (name: string, rules: readonly string[]) => rules.map((rule) => `-A ${name} ${rule}`);
  // A chain line in restore format makes the chain, or empties it.
  return [
    "*filter",
    ":WEAVE-CONTROL - [0:0]",
    ":WEAVE-EXPOSE - [0:0]",
    ...chain("WEAVE-CONTROL", [...control, ...peers, ...dns]),
    ...chain("WEAVE-EXPOSE", [
      ...isolation,
      `-i ${bridge} -j ACCEPT`,
      `-o ${bridge} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`,
      ...exposed.map(({ subnet }) => `-o ${bridge} -d ${subnet} -j ACCEPT`),
    ]),
    "COMMIT",
    ...(everything
      ? ["*nat", ":WEAVE - [0:0]", ...chain("WEAVE", ["-d 224.0.0.0/4 -j RETURN", ...nat]), "COMMIT"]
      : []),
    "",
  ].join("\n");
}
