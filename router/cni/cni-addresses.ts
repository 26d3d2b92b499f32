import type { CniCall } from "#router/cni/cni-call.js";
import type { CniConfiguration } from "#router/cni/cni-configuration.js";
import { CniError } from "#router/cni/cni-error.js";
import { isIpv6Text } from "#router/cni/cni-result.js";
import { inSubnets, isIpv4, parseCidr } from "#src/address.js";
import type { AddressArgument } from "#src/address-argument.js";
import { parseMac } from "#src/mac.js";

/**
 * The addresses that a call requests: those of the runtime, else any free one of the configured subnet. The first of these that is there
 * counts: the capability `ips`, `args.cni.ips`, and `IP` of `CNI_ARGS`.
 *
 * @param defaultSubnet subnet of an address without a prefix length; undefined without address allocation
 * @throws CniError 7, WEAVE_ADDRESS_INVALID
 */
export function requestedCniAddresses(
  { args }: Pick<CniCall, "args">,
  { ipam, runtimeConfig, args: given }: Pick<CniConfiguration, "ipam" | "runtimeConfig" | "args">,
  defaultSubnet: string | undefined,
): AddressArgument[] {
  const subnet = ipam.subnet === undefined ? undefined : parseCidr(ipam.subnet).text;
  const named = (args.get("IP") ?? "").split(",").filter((each) => each !== "");
  const requested = [runtimeConfig?.ips ?? [], given?.cni?.ips ?? [], named].find((each) => each.length > 0);
  if (requested === undefined && defaultSubnet === undefined)
    throw new CniError("invalidConfiguration", "address allocation is off on this host", {
      next: 'Launch with an --ipalloc-range, request an address, or set another "ipam" plugin in the network configuration.',
    });
  if (requested === undefined) return [{ kind: "net", subnet: subnet ?? "" }];
  return [...new Set(requested)].map((each) => ({ kind: "ip", cidr: completed(each, subnet ?? defaultSubnet) }));
}

/** Adds the prefix length of the subnet to an address without one. */
function completed(address: string, subnet: string | undefined): string {
  if (isIpv6Text(address))
    throw new CniError(
      "invalidConfiguration",
      `${address.slice(0, 64)} is requested: weave allocates IPv4 addresses only`,
      {
        next: "Request an IPv4 address, or use an IPAM plugin that assigns IPv6 addresses, such as static.",
      },
    );
  if (!isIpv4(address)) return parseCidr(address).text;
  if (subnet !== undefined && inSubnets(address, [parseCidr(subnet)])) return `${address}/${parseCidr(subnet).prefix}`;
  throw new CniError(
    "invalidConfiguration",
    `the prefix length of ${address} is unknown: it is not in ${subnet ?? "a subnet"}`,
    {
      next: `Request it as ${address}/24, for example, or set "ipam.subnet" in the network configuration.`,
    },
  );
}

/**
 * The MAC that a call requests: the capability `mac`, `args.cni.mac`, or `MAC` of `CNI_ARGS`; undefined for none.
 *
 * @throws CniError 7 for one that no interface can have
 */
export function requestedCniMac(
  { args }: Pick<CniCall, "args">,
  { runtimeConfig, args: given }: Pick<CniConfiguration, "runtimeConfig" | "args">,
): string | undefined {
  const text = runtimeConfig?.mac ?? given?.cni?.mac ?? args.get("MAC");
  if (text === undefined || text === "") return undefined;
  if (/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) {
    const mac = parseMac(text);
    // The lowest bit of the first octet is set in group addresses (IEEE 802, 8.2.2).
    if ((Number.parseInt(mac.slice(0, 2), 16) & 1) === 0 && mac !== "00:00:00:00:00:00") return mac;
  }
  throw new CniError("invalidConfiguration", `${JSON.stringify(text.slice(0, 64))} is requested as MAC`, {
    next: "A MAC is six hexadecimal octets, not a group address, such as 02:42:0a:20:00:01.",
  });
}
