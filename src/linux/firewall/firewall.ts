import { WeaveError } from "#src/errors.js";

/** What the firewall must hold; the whole of it, whenever it changes. */
export interface FirewallState {
  readonly bridge: string;
  /**
   * TCP ports of this host's own users: control API, status, the Docker API proxy. Containers never reach them, at any address
   * of the host; nor does anybody from outside at 127.0.0.0/8, whatever the host's routing allows (`route_localnet`).
   */
  readonly hostPorts: readonly number[];
  /** Of the mesh: TCP, and UDP for frames; the next one too, which fast datapath uses. Not for containers. */
  readonly meshPort: number;
  /** Subnets of addresses that the host has on the bridge. */
  readonly exposed: readonly { readonly subnet: string; readonly masquerade: boolean }[];
  /** The bridge of the Docker engine on this host; undefined without Docker. */
  readonly dockerBridge: string | undefined;
  /** Interfaces whose names begin as those of Docker's bridges (`br-`) and which are not Docker's: the way to the LAN, it may be. */
  readonly notDocker: readonly string[];
  /** Our own datagrams are not tracked by the kernel: only where nobody needs it, see {@link Firewall.trackingNeeded}. */
  readonly untracked: boolean;
}

/** UDP ports of the mesh: the last port of all has no next one. */
export const meshUdpPorts = (port: number): { first: number; last: number } => ({
  first: port,
  last: Math.min(port + 1, 65_535),
});

/** Docker calls the bridge of a network that a user makes `br-` and 12 digits of its id; `br-lan` or `br-ex` are not Docker's. */
export function notDockerBridges(names: readonly string[]): string[] {
  // The others have characters that a rule could not hold.
  return names.filter((name) => /^br-[\w.:@-]*$/.test(name) && !/^br-[0-9a-f]{12}$/.test(name)).sort();
}

/** One set of rules, made anew as a whole: nothing of an earlier state can stay behind. */
export interface Firewall {
  readonly kind: string;
  apply(state: FirewallState): Promise<void>;
  /** Whether all rules of the last `apply` are there still: others flush what is not theirs. */
  intact(): Promise<boolean>;
  /** Why the kernel must track our own datagrams: rules of others may judge by it. Undefined where none do. */
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
