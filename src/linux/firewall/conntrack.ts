import { readFileSync } from "node:fs";
import { z } from "zod/mini";
import { errorText } from "#src/errors.js";
import { run } from "#src/linux/exec.js";

/**
 * Whether this host's firewall needs connection tracking for our own datagrams.
 *
 * Untracked, they cost no entry of a table that may be full, and no stale translation sticks to them. But rules that accept
 * what is `established` then drop every answer (measured: UDP is dead on a host that accepts nothing else), and rules that rewrite our
 * source address do not apply. So datagrams stay tracked wherever rules of others could judge by it: each packet that we
 * send or receive passes these chains.
 */
const JUDGING_HOOKS = ["prerouting", "input", "output"];
/** Chains before it see packets before connection tracking does (netfilter, NF_IP_PRI_CONNTRACK). */
const CONNTRACK_PRIORITY = -200;
/** A ruleset with more chains than this is not looked through every 10 s: some of them will judge. */
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

/** Why our datagrams must stay tracked, by what nft lists (also the rules of an iptables that is built upon it); undefined when nobody needs it. */
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
    return `the rules of this host cannot be looked at: ${errorText(error)}`;
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
    return `the rules of this host cannot be looked at: ${errorText(error)}`;
  }
}

/** Of what `nft --json list chains` prints, the chains of others that our datagrams pass after they would have been tracked. */
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
 * Whether a chain could judge by tracking. A filter may, as soon as it has any rule: what it jumps to is not looked at. Of
 * address translation, rules that name a source are for others: Docker's name the subnets of containers.
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

/** Rules of an iptables of the old kind are not shown by nft; the kernel says which tables there are. */
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
