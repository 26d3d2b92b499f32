import { hasTool } from "#src/linux/exec.js";
import type { Firewall } from "#src/linux/firewall/firewall.js";
import { iptablesFirewall } from "#src/linux/firewall/iptables.js";
import { nftFirewall } from "#src/linux/firewall/nft.js";

/**
 * Selects the firewall of this host: nft if it is installed, else iptables; undefined without either.
 *
 * Next to Docker both are used. Docker has an iptables rule that drops forwarded packets, and no rule of another table can
 * override it. With br_netfilter, which Docker loads, the rule applies to frames between ports of a bridge too. Therefore all
 * rules are in weave's nft table, and the accepting rules are in iptables as well.
 */
export function hostFirewall(docker: boolean): Firewall | undefined {
  const iptables = hasTool("iptables-restore");
  if (!hasTool("nft")) return iptables ? iptablesFirewall("full") : undefined;
  return docker && iptables ? both(nftFirewall(), iptablesFirewall("accept-only")) : nftFirewall();
}

function both(a: Firewall, b: Firewall): Firewall {
  return {
    kind: `${a.kind}, and ${b.kind} next to Docker`,
    async apply(state) {
      await Promise.all([a.apply(state), b.apply(state)]);
    },
    async intact() {
      return (await Promise.all([a.intact(), b.intact()])).every((each) => each);
    },
    // nft lists the rules of iptables-nft as well.
    trackingNeeded: () => a.trackingNeeded(),
    async remove() {
      await Promise.all([a.remove(), b.remove()]);
    },
  };
}
