import { requireAddresses, SERVICE_TABLE, type ServiceAddress } from "#src/linux/firewall/services/service-address.js";

const TABLE = `ip ${SERVICE_TABLE}`;

/**
 * Returns a script for `nft -f` that replaces the rules of service addresses in one transaction. The first packet of a connection
 * chooses a task at random; connection tracking keeps the choice. The chains remain, only their rules are replaced.
 *
 * @throws TypeError for anything that is no address
 */
export function nftServices(services: readonly ServiceAddress[]): string {
  requireAddresses(services);
  return [
    `add table ${TABLE}`,
    `add chain ${TABLE} services`,
    // Of programs in the namespace, and of namespaces behind it: a container can have containers of its own.
    `add chain ${TABLE} output { type nat hook output priority -100; policy accept; }`,
    `add chain ${TABLE} prerouting { type nat hook prerouting priority -100; policy accept; }`,
    `add chain ${TABLE} refused`,
    `add chain ${TABLE} refuse_output { type filter hook output priority 0; policy accept; }`,
    `add chain ${TABLE} refuse_forward { type filter hook forward priority 0; policy accept; }`,
    `flush table ${TABLE}`,
    ...(services.length === 0 ? [] : rules(services)),
    "",
  ].join("\n");
}

function rules(services: readonly ServiceAddress[]): string[] {
  const all = `ip daddr { ${services.map(({ address }) => address).join(", ")} }`;
  const rule = (chain: string, text: string) => `add rule ${TABLE} ${chain} ${text}`;
  return [
    ...services
      .filter(({ targets }) => targets.length > 0)
      .map(({ address, targets }) => rule("services", `ip daddr ${address} dnat to ${choice(targets)}`)),
    // Packets to other addresses pass one rule.
    ...["output", "prerouting"].map((chain) => rule(chain, `${all} jump services`)),
    rule("refused", "meta l4proto tcp reject with tcp reset"),
    rule("refused", "reject with icmp type port-unreachable"),
    // Only packets without a task still have the address of a service. Invalid ones of an established connection have it, too:
    // a reset would end that connection.
    ...["refuse_output", "refuse_forward"].map((chain) => rule(chain, `ct state new ${all} jump refused`)),
  ];
}

function choice(targets: readonly string[]): string {
  if (targets.length === 1) return targets[0];
  const map = targets.map((target, index) => `${index} : ${target}`).join(", ");
  return `numgen random mod ${targets.length} map { ${map} }`;
}

/** A script for `nft -f` that removes the rules. The table is declared first, so that the deletion does not fail where it is missing. */
export const NFT_NO_SERVICES = `table ${TABLE} {}\ndelete table ${TABLE}\n`;
