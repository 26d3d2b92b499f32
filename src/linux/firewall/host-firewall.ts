import { hasTool } from "#src/linux/exec.js";
import type { Firewall } from "#src/linux/firewall/firewall.js";
import { iptablesFirewall } from "#src/linux/firewall/iptables.js";
import { nftFirewall } from "#src/linux/firewall/nft.js";

/**
 * The firewall of this host: by `nft` if it is installed, else by iptables; undefined without either.
 *
 * Next to Docker both: Docker has an iptables rule that drops forwarded packets, which no rule elsewhere can override. With
 * br_netfilter, which Docker loads, that includes each frame from one port of a bridge to another. So the rules that drop and
 * masquerade are in a table of ours, and the rules that accept are in iptables, too.
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
    // nft lists the rules of iptables, too.
    trackingNeeded: () => a.trackingNeeded(),
    async remove() {
      await Promise.all([a.remove(), b.remove()]);
    },
  };
}
