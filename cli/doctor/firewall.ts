import { readFileSync } from "node:fs";
import { type DoctorCheck, type Finding, ok } from "#cli/doctor/check.js";
import type { HostFacts } from "#cli/doctor/host-facts.js";
import { isKernelPreferred, type KernelPathFacts, kernelPorts, namePort, udpPorts } from "#cli/doctor/kernel-ports.js";
import { hasSystemd, systemctl } from "#cli/support/systemctl.js";
import { hasTool, run } from "#src/linux/exec.js";

/** The parts of `nft --json list chains` that are used. */
interface Listing {
  readonly nftables: readonly {
    readonly chain?: { family: string; table: string; name: string; hook?: string; policy?: string };
  }[];
}

/**
 * Firewalls of this host that could drop weave's packets: nft, iptables in both forms, firewalld, ufw. What passes is known better by
 * the check of peers: here is why it does not.
 */
export const firewallCheck: DoctorCheck = {
  name: "firewall",
  async run(host) {
    const parts = await Promise.all([dropping(host), twoFamilies(), firewalld(host), ufw(host)]);
    const findings = parts.flat();
    return findings.length > 0 ? findings : [ok(`no rules that drop port ${host.port} by default`)];
  },
};

/** Chains of nft (and of iptables-nft) that drop what no rule accepts, and have no rule for the port. */
async function dropping(host: HostFacts): Promise<Finding[]> {
  if (!hasTool("nft")) return legacyDropping(host);
  const { nftables } = JSON.parse(await run("nft", ["--json", "list", "chains"])) as Listing;
  const closed = nftables.flatMap(({ chain }) => (chain?.hook === "input" && chain.policy === "drop" ? [chain] : []));
  const findings: Finding[] = [];
  for (const { family, table, name } of closed) {
    // Rules of the whole table: the chain may jump to others.
    const rules = await run("nft", ["--stateless", "--numeric", "list", "table", family, table]);
    findings.push(...closedChain(`the chain ${name} of table ${family} ${table}`, rules, host, "nft"));
  }
  return [...findings, ...(await legacyDropping(host))];
}

async function legacyDropping(host: HostFacts): Promise<Finding[]> {
  if (!legacyTables().includes("filter") || !hasTool("iptables-legacy")) return [];
  const rules = await run("iptables-legacy", ["-w", "-S"]).catch(() => "");
  if (!rules.includes("-P INPUT DROP")) return [];
  return closedChain("the chain INPUT of iptables-legacy", rules, host, "iptables");
}

/** What is wrong with a chain that drops what its rules do not name. @param host what decides about the ports */
export function closedChain(chain: string, rules: string, host: KernelPathFacts, tool: "nft" | "iptables"): Finding[] {
  const { port } = host;
  const udp = udpPorts(host, tool === "nft" ? "-" : ":");
  const remedy =
    tool === "nft"
      ? `accept TCP ${port} and UDP ${udp} from the other hosts there: tcp dport ${port} accept; udp dport ${udp} accept`
      : `accept TCP ${port} and UDP ${udp}: iptables-legacy -I INPUT -p udp --dport ${udp} -j ACCEPT, and -p tcp --dport ${port}`;
  if (!namePort(rules, port))
    return [
      {
        level: "warn",
        what: `${chain} drops by default, and has no rule for port ${port}`,
        cause: "other hosts may not reach this one; containers not weaveDNS (port 53 on the bridges)",
        remedy,
      },
    ];
  const closed = isKernelPreferred(host) ? kernelPorts(host).filter((each) => !namePort(rules, each)) : [];
  if (closed.length === 0) return [];
  return [
    {
      level: "warn",
      what: `${chain} drops by default, and has no rule for UDP ${closed.join(" and ")}`,
      cause: "frames may not pass by the kernel (fastdp): then they use the router",
      remedy,
    },
  ];
}

/** Tables of iptables in its old form that are in use. */
function legacyTables(): string[] {
  try {
    return readFileSync("/proc/net/ip_tables_names", "utf8")
      .split("\n")
      .filter((name) => name !== "");
  } catch {
    return [];
  }
}

async function twoFamilies(): Promise<Finding[]> {
  if (legacyTables().length === 0 || !hasTool("nft")) return [];
  const tables = await run("nft", ["list", "tables"]);
  if (!/^table ip (?:filter|nat)$/m.test(tables)) return [];
  return [
    {
      level: "warn",
      what: "rules of iptables-legacy and of iptables-nft are in use at the same time",
      cause: "a packet must pass both, and each tool shows its own alone",
      remedy: "use one: 'update-alternatives --config iptables', then restart the programs that made rules",
    },
  ];
}

async function firewalld(host: HostFacts): Promise<Finding[]> {
  if (!hasSystemd() || !(await systemctl("is-active", "firewalld.service")).ok) return [];
  const { port, bridge } = host;
  const accepts = async (...args: string[]) => (await run("firewall-cmd", args).catch(() => "no")).trim() === "yes";
  const services = await run("firewall-cmd", ["--list-services"]).catch(() => "");
  const isOpen =
    services.split(/\s+/).includes("weave") ||
    ((await accepts(`--query-port=${port}/tcp`)) && (await accepts(`--query-port=${port}/udp`)));
  const findings: Finding[] = [];
  if (!isOpen)
    findings.push({
      level: "fail",
      what: `firewalld does not accept port ${port}`,
      cause: "other hosts do not reach this one",
      remedy: `as root: firewall-cmd --permanent --add-port=${port}/tcp --add-port=${udpPorts(host)}/udp; firewall-cmd --reload`,
    });
  if (!(await accepts("--zone=trusted", `--query-interface=${bridge}`)))
    findings.push({
      level: "warn",
      what: `firewalld does not trust the bridge ${bridge}`,
      cause: "containers do not reach weaveDNS",
      remedy: `as root: firewall-cmd --permanent --zone=trusted --add-interface=${bridge}; firewall-cmd --reload`,
    });
  return findings;
}

async function ufw(host: HostFacts): Promise<Finding[]> {
  const { port } = host;
  if (!hasTool("ufw")) return [];
  const status = await run("ufw", ["status"]).catch(() => "");
  if (!/^Status: active$/m.test(status) || new RegExp(`^${port}\\b.*ALLOW`, "m").test(status)) return [];
  return [
    {
      level: "fail",
      what: `ufw is active, and does not allow port ${port}`,
      cause: "other hosts do not reach this one",
      remedy: `as root, with the network of the hosts as NET: ufw allow proto tcp from NET to any port ${port}; ufw allow proto udp from NET to any port ${udpPorts(host, ":")}`,
    },
  ];
}
