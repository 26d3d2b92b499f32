import { WeaveError } from "#src/errors.js";
import { installCommands } from "#src/linux/packages.js";

/** The complete desired state of the firewall. */
export interface FirewallState {
  readonly bridge: string;
  /**
   * TCP ports for users of this host: control API, status, Docker API proxy. Containers cannot reach them at any address of the
   * host. Other hosts cannot reach them at 127.0.0.0/8, even if the host's routing allows it (`route_localnet`).
   */
  readonly hostPorts: readonly number[];
  /** The port of the mesh: TCP, and UDP for frames; the next two UDP ports are those of the kernel's path. Closed to containers. */
  readonly meshPort: number;
  /** The UDP port of VXLAN in clear, open to these networks (CIDR notation) alone; undefined: there is none, or all may send to it. */
  readonly clearTunnel?: { readonly port: number; readonly subnets: readonly string[] } | undefined;
  /** Subnets in which the host has an address on the bridge. */
  readonly exposed: readonly { readonly subnet: string; readonly masquerade: boolean }[];
  /** The default bridge of the Docker engine, or of Podman, on this host; undefined without either. */
  readonly dockerBridge: string | undefined;
  /** Interfaces that are not Docker's, although their names begin with `br-`: a bridge of the LAN, for example. */
  readonly notDocker: readonly string[];
  /** Whether connection tracking is off for weave's datagrams: only if no rule needs it, see {@link Firewall.trackingNeeded}. */
  readonly untracked: boolean;
}

/** Ports from the first to the last, both included. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** Returns the UDP ports of the mesh: `port` and the next two, as far as there are such. */
export const meshUdpPorts = (port: number): PortRange => ({ first: port, last: Math.min(port + 2, 65_535) });

/**
 * Returns those of the kernel's path, as one range or none. Packets of VXLAN are known by the port that they go to alone: the source port is
 * a hash of the inner frame (RFC 7348, section 5).
 */
export function kernelPathPorts(port: number): readonly PortRange[] {
  const { first, last } = meshUdpPorts(port);
  return first === last ? [] : [{ first: first + 1, last }];
}

/**
 * The interfaces by which packets of an engine's containers arrive: its default bridge, and those of users' networks, where `*` stands for
 * any rest. Podman's are `podman` and a number; by CNI `cni-podman` and a number.
 */
export function containerBridges(defaultBridge: string | undefined): readonly string[] {
  if (defaultBridge === undefined) return [];
  if (/^(cni-)?podman\d+$/.test(defaultBridge)) return ["podman*", "cni-podman*"];
  return [defaultBridge, "br-*", "docker_gwbridge"];
}

/** Selects names that begin with `br-` and are not Docker's: Docker names the bridge of a user's network `br-` and 12 digits of its id. */
export function notDockerBridges(names: readonly string[]): string[] {
  // Names with other characters cannot be written in a rule.
  return names.filter((name) => /^br-[\w.:@-]*$/.test(name) && !/^br-[0-9a-f]{12}$/.test(name)).sort();
}

/** Weave's rules in the firewall of this host. They are replaced as a whole: no rule of an earlier state remains. */
export interface Firewall {
  /** Name of the implementation, for the log. */
  readonly kind: string;
  /** Sets the rules. @throws WEAVE_FIREWALL, WEAVE_COMMAND_FAILED */
  apply(state: FirewallState): Promise<void>;
  /** Whether all rules of the last `apply` still exist: other programs may flush them. */
  intact(): Promise<boolean>;
  /** Explains why the kernel must track weave's datagrams: rules of other programs may depend on it. Undefined if none does. */
  trackingNeeded(): Promise<string | undefined>;
  /** Removes all rules of weave. */
  remove(): Promise<void>;
}

/** Makes the error for a host without firewall tools. */
export function firewallMissing(): WeaveError {
  return new WeaveError(
    "WEAVE_TOOL_MISSING",
    "neither nft nor iptables is on this host: packets cannot be masqueraded",
    {
      next: `Install one ('${installCommands(["nft"]).join("'; '")}'), or use --without-masquerade.`,
    },
  );
}
