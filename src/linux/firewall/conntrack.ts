import { readFileSync } from "node:fs";
import * as z from "zod/mini";
import { errorText } from "#src/errors.js";
import { run } from "#src/linux/exec.js";

/**
 * The hooks of netfilter that weave's datagrams pass. Decides whether the firewall needs connection tracking for them.
 *
 * Untracked datagrams take no entry of the tracking table, which may be full, and no stale address translation applies to them.
 * But a firewall that accepts only `established` packets then drops every answer (measured: UDP does not pass at all), and rules
 * that rewrite the source address do not apply. Therefore datagrams stay tracked if rules of other programs in these hooks could
 * depend on tracking.
 */
const DATAGRAM_HOOKS = ["prerouting", "input", "output"];
/** Priority of connection tracking: chains with a lower one precede it (netfilter, NF_IP_PRI_CONNTRACK). */
const CONNTRACK_PRIORITY = -200;
/** A ruleset with more chains is not examined, because that costs a process for each: some chain will depend on tracking. */
const MAX_CHAINS = 12;
/** Matches weave's own chains. */
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

/** Explains why weave's datagrams must stay tracked, by the rules that nft lists (those of iptables-nft too); undefined if no rule needs it. */
export async function nftTrackingNeeded(): Promise<string | undefined> {
  try {
    const chains = chainsAfterTracking(JSON.parse(await run("nft", ["--json", "list", "chains"])));
    if (chains.length > MAX_CHAINS) return `there are ${chains.length} chains of rules`;
    for (const chain of chains) {
      const { family, table, name } = chain;
      const rules = await run("nft", ["--stateless", "list", "chain", family, table, name]);
      const why = chainNeedsTracking(chain, rules.split("\n"));
      if (why !== undefined) return why;
    }
    return legacyTables();
  } catch (error) {
    return `the rules of this host cannot be listed: ${errorText(error)}`;
  }
}

/** Explains the same as {@link nftTrackingNeeded}, on a host without nft. */
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
      const why = chainNeedsTracking({ type, family: "iptables", table, name: chain, policy }, rules);
      if (why !== undefined) return why;
    }
    return undefined;
  } catch (error) {
    return `the rules of this host cannot be listed: ${errorText(error)}`;
  }
}

/** Selects the chains of other programs that weave's datagrams pass after connection tracking. @param listed the output of `nft --json list chains` */
export function chainsAfterTracking(listed: {
  readonly nftables: readonly { readonly chain?: unknown }[];
}): BaseChain[] {
  return listed.nftables
    .flatMap(({ chain }) => {
      const parsed = baseChain.safeParse(chain);
      return parsed.success ? [parsed.data] : [];
    })
    .filter(({ family, table }) => ["inet", "ip"].includes(family) && !(family === "inet" && table === "weave"))
    .filter(({ type, hook, prio }) =>
      type === "nat" ? hook === "postrouting" : DATAGRAM_HOOKS.includes(hook) && prio > CONNTRACK_PRIORITY,
    );
}

/**
 * Explains why a chain could depend on tracking; undefined if it does not. A filter chain could if it has any rule, because the
 * chains that it jumps to are not examined. In a chain of address translation, rules with a source address do not count: they
 * are for other packets, such as Docker's rules for the subnets of containers.
 *
 * @param lines the listing of the chain, with its rules
 */
export function chainNeedsTracking(
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
  const dependent = rules.find((rule) => type !== "nat" || !/(\bsaddr\b(?! !=)|(?<!! )-s )/.test(rule));
  return dependent === undefined ? undefined : `${where} has rules: ${dependent.slice(0, 100)}`;
}

/** Explains why legacy iptables needs tracking. nft does not list its rules, but the kernel lists its tables. */
function legacyTables(): string | undefined {
  let names: string[];
  try {
    names = readFileSync("/proc/net/ip_tables_names", "utf8").split("\n");
  } catch {
    return undefined;
  }
  const table = names.find((name) => ["filter", "nat", "mangle"].includes(name));
  return table === undefined ? undefined : `there is a table ${table} of the old iptables`;
}
