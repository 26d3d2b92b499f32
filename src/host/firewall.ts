import { WeaveError } from "#src/errors.js";

/** What the firewall must hold; the whole of it, whenever it changes. */
export interface FirewallState {
  readonly bridge: string;
  /** Control API on 127.0.0.1: packets from elsewhere must never reach it, whatever the host's routing allows. */
  readonly controlPort: number | undefined;
  /** Of the mesh: TCP, and UDP for frames; the next one too, which fast datapath uses. Not for containers. */
  readonly meshPort: number;
  /** Subnets of addresses that the host has on the bridge. */
  readonly exposed: readonly { readonly subnet: string; readonly masquerade: boolean }[];
  /** The bridge of the Docker engine on this host; undefined without Docker. */
  readonly dockerBridge: string | undefined;
}

/** One set of rules, made anew as a whole: nothing of an earlier state can stay behind. */
export interface Firewall {
  readonly kind: string;
  apply(state: FirewallState): Promise<void>;
  /** Whether all rules of the last `apply` are there still: others flush what is not theirs. */
  intact(): Promise<boolean>;
  remove(): Promise<void>;
}

export function firewallMissing(): WeaveError {
  return new WeaveError(
    "WEAVE_TOOL_MISSING",
    "neither nft nor iptables is on this host: packets cannot be masqueraded",
    {
      next: "Install one ('apt-get install nftables'), or use --without-masquerade.",
    },
  );
}
