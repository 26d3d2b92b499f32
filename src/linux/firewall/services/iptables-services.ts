import { requireAddresses, SERVICE_TABLE, type ServiceAddress } from "#src/linux/firewall/services/service-address.js";

const CHAIN = SERVICE_TABLE.toUpperCase().replace("_", "-");
/** Jumps to the two chains; each chain is in a table of its own. */
const JUMPS = [
  ["nat", "OUTPUT"],
  ["nat", "PREROUTING"],
  ["filter", "OUTPUT"],
  ["filter", "FORWARD"],
] as const;

/**
 * Returns a script for `iptables-restore --noflush` with the rules that nft has by {@link nftServices}. Each table is replaced in
 * one transaction.
 *
 * @throws TypeError for anything that is no address
 */
export function iptablesServices(services: readonly ServiceAddress[]): string {
  requireAddresses(services);
  const rule = (text: string) => `-A ${CHAIN} ${text}`;
  return [
    "*nat",
    `:${CHAIN} - [0:0]`,
    ...services.flatMap(({ address, targets }) =>
      targets.map((target, index) => {
        const left = targets.length - index;
        // Each rule takes its share of the connections that are left.
        const share = left === 1 ? "" : `-m statistic --mode random --probability ${(1 / left).toFixed(10)} `;
        return rule(`-d ${address} ${share}-j DNAT --to-destination ${target}`);
      }),
    ),
    "COMMIT",
    "*filter",
    `:${CHAIN} - [0:0]`,
    ...services.flatMap(({ address }) => [
      rule(`-d ${address} -p tcp -m conntrack --ctstate NEW -j REJECT --reject-with tcp-reset`),
      rule(`-d ${address} -m conntrack --ctstate NEW -j REJECT --reject-with icmp-port-unreachable`),
    ]),
    "COMMIT",
    "",
  ].join("\n");
}

/** A script of sh that makes the missing jumps to the chains, which must exist. */
export const IPTABLES_JUMPS = JUMPS.map(
  ([table, from]) =>
    `iptables -w -t ${table} -C ${from} -j ${CHAIN} 2>/dev/null || iptables -w -t ${table} -I ${from} -j ${CHAIN} || exit`,
).join("\n");

/** A script of sh that removes jumps and chains; missing ones are no error. */
export const IPTABLES_NO_SERVICES = [
  ...JUMPS.map(([table, from]) => `while iptables -w -t ${table} -D ${from} -j ${CHAIN} 2>/dev/null; do :; done`),
  ...["nat", "filter"].map(
    (table) => `iptables -w -t ${table} -F ${CHAIN} 2>/dev/null; iptables -w -t ${table} -X ${CHAIN} 2>/dev/null`,
  ),
  "true",
].join("\n");
