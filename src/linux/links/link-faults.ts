import {
  bridgeCommands,
  bridgeSysctls,
  checkOwnBridge,
  portCommands,
  portSysctls,
  type Sysctl,
} from "#src/linux/links/bridge.js";
import { ENDPOINT_PREFIX } from "#src/linux/links/docker-endpoint.js";
import { CNI_IFNAME_PREFIX, HOST_IFNAME_PREFIX } from "#src/linux/links/interface-names.js";
import { type Link, tapMtu } from "#src/linux/links/links.js";

/** The interfaces that the router made on the host, in their desired state. */
export interface ExpectedLinks {
  readonly bridge: string;
  /** MAC of the bridge. */
  readonly mac: string;
  /** MTU of the bridge, in bytes. */
  readonly mtu: number;
  readonly tap: string;
}

/** A difference between the interfaces and their desired state. */
export interface LinkFault {
  /** Identifies the kind of fault in later comparisons. */
  readonly key: string;
  /** Text for log and status. */
  readonly what: string;
  /** Commands for `ip -batch` that repair the fault, in order. */
  readonly commands: readonly string[];
  /** Kernel parameters to set after the commands. */
  readonly sysctls: readonly Sysctl[];
}

/** Matches the names of host ends: of attached namespaces, of interfaces of CNI, and of Docker's endpoints. */
const HOST_END = new RegExp(
  `^(${HOST_IFNAME_PREFIX}pl[0-9a-z]{7}|${CNI_IFNAME_PREFIX}[0-9a-z]{8}|${ENDPOINT_PREFIX}[0-9a-z]{9})$`,
);
/** Maximum number of names in a message: hundreds of interfaces lose a deleted bridge at the same time. */
const NAMED = 5;

/**
 * Compares the host's interfaces with their desired state, and returns each difference with the commands that repair it. A
 * missing TAP device cannot be repaired by commands.
 *
 * @param links all interfaces of the host
 * @param sysctl reads a kernel parameter; undefined where the kernel lacks it
 * @throws WEAVE_BRIDGE_FOREIGN when another interface has the bridge's name
 */
export function linkFaults(
  links: readonly Link[],
  made: ExpectedLinks,
  sysctl: (path: string) => string | undefined,
): readonly LinkFault[] {
  const { bridge, tap } = made;
  const byName = new Map(links.map((link) => [link.ifname, link]));
  const port = byName.get(tap);
  const ends = links.filter(({ ifname, linkinfo }) => linkinfo?.info_kind === "veth" && HOST_END.test(ifname));
  const parameters = [...bridgeSysctls(bridge), ...(port ? portSysctls(tap) : []), ...ends.flatMap(endSysctls)];
  return [
    ...bridgeFaults(byName.get(bridge), made),
    ...tapFaults(port, made),
    ...endFaults(ends, bridge),
    ...sysctlFaults(parameters, sysctl),
  ];
}

const endSysctls = ({ ifname }: Link): Sysctl[] => portSysctls(ifname);

function bridgeFaults(link: Link | undefined, { bridge, mac, mtu }: ExpectedLinks): LinkFault[] {
  const fault = (what: string, isNew: boolean): LinkFault => ({
    key: "bridge",
    what: `the bridge ${bridge} ${what}`,
    commands: bridgeCommands(bridge, mac, mtu, isNew),
    sysctls: bridgeSysctls(bridge),
  });
  if (link === undefined) return [fault("is gone", true)];
  checkOwnBridge(link);
  const wrong = [
    ...(isUp(link) ? [] : ["is down"]),
    ...(link.address === mac ? [] : [`has the MAC ${link.address} instead of ${mac}`]),
    ...(link.mtu === mtu ? [] : [`has an MTU of ${link.mtu} instead of ${mtu}`]),
    ...((link.linkinfo?.info_data?.mcast_snooping ?? 0) === 0 ? [] : ["drops multicast (mcast_snooping is on)"]),
  ];
  return wrong.length === 0 ? [] : [fault(wrong.join(" and "), false)];
}

function tapFaults(link: Link | undefined, { bridge, mtu, tap }: ExpectedLinks): LinkFault[] {
  if (link === undefined) return [{ key: "tap", what: `the TAP device ${tap} is gone`, commands: [], sysctls: [] }];
  const wrong = [
    ...(isUp(link) ? [] : ["is down"]),
    ...(link.master === bridge ? [] : [`is not on the bridge ${bridge}`]),
    ...(link.mtu === tapMtu(mtu) ? [] : [`has an MTU of ${link.mtu} instead of ${tapMtu(mtu)}`]),
    ...(link.master === undefined || link.linkinfo?.info_slave_data?.isolated === true ? [] : ["is not isolated"]),
  ];
  if (wrong.length === 0) return [];
  return [
    {
      key: "tap",
      what: `the TAP device ${tap} ${wrong.join(" and ")}`,
      commands: portCommands(bridge, tap, mtu),
      sysctls: portSysctls(tap),
    },
  ];
}

function endFaults(ends: readonly Link[], bridge: string): LinkFault[] {
  const off = ends.filter((end) => end.master !== bridge || !isUp(end)).map(({ ifname }) => ifname);
  if (off.length === 0) return [];
  const names = off.length <= NAMED ? off.join(", ") : `${off.slice(0, NAMED).join(", ")} and others`;
  return [
    {
      key: "containers",
      what: `${off.length} interface${off.length === 1 ? "" : "s"} of containers ${off.length === 1 ? "is" : "are"} down or not on the bridge ${bridge}: ${names}`,
      commands: off.map((name) => `link set dev ${name} master ${bridge} up`),
      sysctls: [],
    },
  ];
}

function sysctlFaults(parameters: readonly Sysctl[], read: (path: string) => string | undefined): LinkFault[] {
  const wrong = parameters.filter(({ path, value }) => ![undefined, value].includes(read(path)));
  if (wrong.length === 0) return [];
  const names = wrong.slice(0, NAMED).map(({ path, value }) => `${path.replaceAll("/", ".")} is not ${value}`);
  return [{ key: "sysctl", what: `kernel parameters were changed: ${names.join(", ")}`, commands: [], sysctls: wrong }];
}

const isUp = ({ flags }: Link): boolean => flags.includes("UP");
