import { errorText, WeaveError } from "#src/errors.js";
import { run } from "#src/linux/exec.js";
import {
  IPTABLES_JUMPS,
  IPTABLES_NO_SERVICES,
  iptablesServices,
} from "#src/linux/firewall/services/iptables-services.js";
import { NFT_NO_SERVICES, nftServices } from "#src/linux/firewall/services/nft-services.js";
import type { ServiceAddress } from "#src/linux/firewall/services/service-address.js";

/** Rules of service addresses in the network namespaces of containers. */
export interface ServiceRules {
  /** nft or iptables. */
  readonly kind: string;
  /** Replaces the rules in a namespace. @throws WEAVE_FIREWALL */
  apply(netns: string, services: readonly ServiceAddress[]): Promise<void>;
  /** Removes the rules from a namespace. @throws WEAVE_COMMAND_FAILED */
  remove(netns: string): Promise<void>;
}

/** Rules of nft: one call for each change. */
export const nftServiceRules: ServiceRules = {
  kind: "nft",
  apply: async (netns, services) => void (await run("nft", ["-f", "-"], { netns, input: nftServices(services) })),
  remove: async (netns) => void (await run("nft", ["-f", "-"], { netns, input: NFT_NO_SERVICES })),
};

/** Rules of iptables, for kernels without nf_tables. */
export const iptablesServiceRules: ServiceRules = {
  kind: "iptables",
  async apply(netns, services) {
    const script = `iptables-restore --noflush -w || exit\n${IPTABLES_JUMPS}`;
    await run("sh", ["-c", script], { netns, input: iptablesServices(services) });
  },
  remove: async (netns) => void (await run("sh", ["-c", IPTABLES_NO_SERVICES], { netns })),
};

/** The rules of the kind that this kernel has: nft, or iptables where nft fails and iptables does not. */
export function serviceRules(): ServiceRules {
  let known: ServiceRules | undefined;
  return {
    get kind() {
      return known?.kind ?? "";
    },
    async apply(netns, services) {
      if (known !== undefined) return known.apply(netns, services);
      const why: string[] = [];
      for (const rules of [nftServiceRules, iptablesServiceRules]) {
        try {
          await rules.apply(netns, services);
          known = rules;
          return;
        } catch (error) {
          why.push(errorText(error));
        }
      }
      throw new WeaveError("WEAVE_FIREWALL", `neither nft nor iptables takes the rules: ${why.join("; ")}`, {
        next: "Check that the kernel has nf_tables with address translation ('modprobe -a nf_tables nft_chain_nat nft_numgen nft_reject').",
      });
    },
    // Where no rules could be made yet, an earlier process may have made some.
    remove: (netns) => (known === undefined ? nftServiceRules.remove(netns).catch(() => {}) : known.remove(netns)),
  };
}
