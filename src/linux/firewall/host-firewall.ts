import { hasTool } from "#src/linux/exec.js";
import type { Firewall } from "#src/linux/firewall/firewall.js";
import { iptablesFirewall } from "#src/linux/firewall/iptables.js";
import { nftFirewall } from "#src/linux/firewall/nft.js";

/**
 * By `nft` where the host has it, else by its own iptables; undefined without either.
 *
 * Next to Docker both: it has a rule that drops what is forwarded, in iptables, which no rule elsewhere can overrule. With
 * br_netfilter, which it loads, that is also every frame from one port of a bridge to another. So what is refused and what is
 * masqueraded is in a table of ours, and what must pass is in iptables too.
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
    // It shows the rules of iptables, too.
    trackingNeeded: () => a.trackingNeeded(),
    async remove() {
      await Promise.all([a.remove(), b.remove()]);
    },
  };
}
