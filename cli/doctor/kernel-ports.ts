import type { HostFacts } from "#cli/doctor/host-facts.js";

/** What decides about the kernel's path. */
export type KernelPathFacts = Pick<HostFacts, "launched" | "port">;

/** The UDP ports of the kernel's path of a host: those after the port of the mesh, as its router takes them. */
export function kernelPorts({ launched, port }: KernelPathFacts): number[] {
  const { noFastdp = false, encryption = true, fastdpEncrypted = "auto", trustedSubnets = [] } = launched;
  if (noFastdp || port + 2 > 65_535) return [];
  const tunnels = [encryption && fastdpEncrypted !== "off", !encryption || trustedSubnets.length > 0];
  return tunnels.filter(Boolean).map((_, index) => port + 1 + index);
}

/** Whether frames take the kernel's path before that of the router, on some connection. */
export function isKernelPreferred({ launched, port }: KernelPathFacts): boolean {
  const { encryption = true, fastdpEncrypted, trustedSubnets = [] } = launched;
  if (kernelPorts({ launched, port }).length === 0) return false;
  return !encryption || trustedSubnets.length > 0 || fastdpEncrypted === "on";
}

/** The UDP ports of a host, as one number or a range: `6783` or `6783-6784`. */
export function udpPorts(facts: KernelPathFacts, separator = "-"): string {
  const last = kernelPorts(facts).at(-1);
  return last === undefined ? String(facts.port) : `${facts.port}${separator}${last}`;
}

/** Whether rules of a firewall name a port, alone or in a range (`6783-6785` of nft, `6783:6785` of iptables). */
export function namePort(rules: string, port: number): boolean {
  if (new RegExp(`\\b${port}\\b`).test(rules)) return true;
  // Not within an address of IPv6, or a MAC.
  return [...rules.matchAll(/(?<![:\w])(\d{1,5})[-:](\d{1,5})(?![:\w])/g)].some(
    ([, from, to]) => +from <= port && port <= +to,
  );
}
