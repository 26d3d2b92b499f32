import { readFileSync } from "node:fs";
import { z } from "zod/mini";
import { errorText } from "#src/errors.js";
import { run } from "#src/linux/exec.js";

/**
 * Whether this host's firewall needs connection tracking for our own datagrams.
 *
 * Untracked, they take no entry of a table that may be full, and no stale translation applies to them. But rules that accept
 * `established` packets then drop every answer (measured: UDP does not pass at all on a host that accepts nothing else), and
 * rules that rewrite our source address do not apply. So datagrams stay tracked if rules of other programs in these hooks could
 * depend on it: each packet that we send or receive passes them.
 */
const JUDGING_HOOKS = ["prerouting", "input", "output"];
/** Chains of lower priority run before connection tracking (netfilter, NF_IP_PRI_CONNTRACK). */
const CONNTRACK_PRIORITY = -200;
/** A ruleset with more chains is not examined every 10 s: some of them will depend on tracking. */
const MAX_CHAINS = 12;
/** Our own chains. */
const OURS = /\bWEAVE(-[A-Z]+)?\b/;

const baseChain = z.object({
  family: z.string(),
  table: z.string(),
  name: z.string(),
  type: z.string(),
  hook: z.string(),
  prio: z.number(),
  policy: z.optional(z.string()),
});
type BaseChain = z.infer<typeof baseChain>;

/** Why our datagrams must stay tracked, according to nft (which lists the rules of its iptables, too); undefined if no rule needs it. */
export async function nftTrackingNeeded(): Promise<string | undefined> {
  try {
    const chains = judgingChains(JSON.parse(await run("nft", ["--json", "list", "chains"])));
    if (chains.length > MAX_CHAINS) return `there are ${chains.length} chains of rules`;
    for (const chain of chains) {
      const { family, table, name } = chain;
      const rules = await run("nft", ["--stateless", "list", "chain", family, table, name]);
      const why = judgement(chain, rules.split("\n"));
      if (why !== undefined) return why;
    }
    return legacyTables();
  } catch (error) {
    return `the rules of this host cannot be listed: ${errorText(error)}`;
  }
}

/** As {@link nftTrackingNeeded}, on a host without nft. */
export async function iptablesTrackingNeeded(): Promise<string | undefined> {
  try {
    for (const [table, chain, type] of [
      ["filter", "INPUT", "filter"],
      ["filter", "OUTPUT", "filter"],
      ["nat", "POSTROUTING", "nat"],
    ]) {
      const lines = (await run("iptables", ["-w", "-t", table, "-S", chain])).split("\n");
      const policy = /^-P \S+ (\S+)/m.exec(lines.join("\n"))?.[1].toLowerCase() ?? "accept";
      const rules = lines.filter((line) => line.startsWith("-A "));
      const why = judgement({ type, family: "iptables", table, name: chain, policy }, rules);
      if (why !== undefined) return why;
    }
    return undefined;
  } catch (error) {
    return `the rules of this host cannot be listed: ${errorText(error)}`;
  }
}

/** The chains of other programs that our datagrams pass after connection tracking. @param listed the output of `nft --json list chains` */
export function judgingChains(listed: { readonly nftables: readonly { readonly chain?: unknown }[] }): BaseChain[] {
  return listed.nftables
    .flatMap(({ chain }) => {
      const parsed = baseChain.safeParse(chain);
      return parsed.success ? [parsed.data] : [];
    })
    .filter(({ family, table }) => ["inet", "ip"].includes(family) && !(family === "inet" && table === "weave"))
    .filter(({ type, hook, prio }) =>
      type === "nat" ? hook === "postrouting" : JUDGING_HOOKS.includes(hook) && prio > CONNTRACK_PRIORITY,
    );
}

/**
 * Why a chain could depend on tracking; undefined if it does not. A filter chain may as soon as it has any rule, because the
 * chains that it jumps to are not examined. In a chain of address translation, rules that name a source address are for other
 * packets: Docker's name the subnets of containers.
 *
 * @param lines of rules, among others
 */
export function judgement(
  { type, family, table, name, policy = "accept" }: Pick<BaseChain, "type" | "family" | "table" | "name" | "policy">,
  lines: readonly string[],
): string | undefined {
  const where = `chain ${name} of table ${family} ${table}`;
  if (type !== "nat" && policy !== "accept") return `the policy of ${where} is ${policy}`;
  const rules = lines
    .map((line) => line.trim())
    .filter(
      (line) =>
        line !== "" &&
        !line.startsWith("#") &&
        !/^(table .*\{|chain .*\{|type .*;|comment .*;|\}|-P .*)$/.test(line) &&
        !OURS.test(line),
    );
  const judging = rules.find((rule) => type !== "nat" || !/(\bsaddr\b(?! !=)|(?<!! )-s )/.test(rule));
  return judging === undefined ? undefined : `${where} has rules: ${judging.slice(0, 100)}`;
}

/** nft does not list the rules of the legacy iptables; the kernel lists its tables. */
function legacyTables(): string | undefined {
  let names: string[];
  try {
    names = readFileSync("/proc/net/ip_tables_names", "utf8").split("\n");
  } catch {
    return undefined;
  }
  const judging = names.find((name) => ["filter", "nat", "mangle"].includes(name));
  return judging === undefined ? undefined : `there is a table ${judging} of the old iptables`;
}
