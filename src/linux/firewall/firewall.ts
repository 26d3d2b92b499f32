import { WeaveError } from "#src/errors.js";

/** The complete desired state of the firewall. */
export interface FirewallState {
  readonly bridge: string;
  /**
   * TCP ports for users of this host alone: control API, status, the Docker API proxy. Containers never reach them, at any
   * address of the host; nor do other hosts at 127.0.0.0/8, even if the host's routing allows it (`route_localnet`).
   */
  readonly hostPorts: readonly number[];
  /** The port of the mesh: TCP, and UDP for frames; with the next one, for fast datapath. Not for containers. */
  readonly meshPort: number;
  /** Subnets of addresses that the host has on the bridge. */
  readonly exposed: readonly { readonly subnet: string; readonly masquerade: boolean }[];
  /** The bridge of the Docker engine on this host; undefined without Docker. */
  readonly dockerBridge: string | undefined;
  /** Interfaces whose names start like those of Docker's bridges (`br-`) and which are not Docker's: perhaps the LAN's. */
  readonly notDocker: readonly string[];
  /** The kernel does not track our own datagrams: only where no rule needs it, see {@link Firewall.trackingNeeded}. */
  readonly untracked: boolean;
}

/** UDP ports of the mesh: port 65535 has no next one. */
export const meshUdpPorts = (port: number): { first: number; last: number } => ({
  first: port,
  last: Math.min(port + 1, 65_535),
});

/** The bridge of a user's Docker network is called `br-` and 12 digits of its id; `br-lan` or `br-ex` are not Docker's. */
export function notDockerBridges(names: readonly string[]): string[] {
  // Names with other characters cannot be in a rule.
  return names.filter((name) => /^br-[\w.:@-]*$/.test(name) && !/^br-[0-9a-f]{12}$/.test(name)).sort();
}

/** One set of rules, replaced as a whole: no rule of an earlier state can remain. */
export interface Firewall {
  readonly kind: string;
  apply(state: FirewallState): Promise<void>;
  /** Whether all rules of the last `apply` still exist: other programs flush rules that are not theirs. */
  intact(): Promise<boolean>;
  /** Why the kernel must track our own datagrams: rules of other programs may depend on it. Undefined where none do. */
  trackingNeeded(): Promise<string | undefined>;
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
