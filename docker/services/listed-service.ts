import type { NetworkServices } from "#docker/engine/shapes.js";
import { type Cidr, isIpv4, parseCidr } from "#src/address.js";

/** A task of a service, as an engine lists it: one endpoint on one network. */
export interface ListedTask {
  readonly endpoint: string;
  /** IPv4. */
  readonly address: string;
}

/** A service on one network, as an engine lists it. */
export interface ListedService {
  /** The service's own address on the network, IPv4; "" for a service without one (`--endpoint-mode dnsrr`), and for containers of no service. */
  readonly address: string;
  readonly tasks: readonly ListedTask[];
}

/** A network, as an engine lists it. */
export interface ListedNetwork {
  /** Its IPv4 subnets. */
  readonly subnets: readonly Cidr[];
  readonly services: readonly ListedService[];
}

/**
 * Reads the services of a network. Names of services are not read, and what is no IPv4 address is left out: nothing else
 * becomes a part of a rule.
 */
export function listedNetwork({ Services, IPAM }: NetworkServices): ListedNetwork {
  return {
    subnets: (IPAM?.Config ?? []).flatMap(({ Subnet }) => (isIpv4(Subnet.split("/")[0]) ? [parseCidr(Subnet)] : [])),
    services: Object.values(Services).map(({ VIP, Tasks }) => ({
      address: isIpv4(VIP) ? VIP : "",
      tasks: Tasks.filter(({ EndpointID, EndpointIP }) => EndpointID !== "" && isIpv4(EndpointIP)).map(
        ({ EndpointID, EndpointIP }) => ({ endpoint: EndpointID, address: EndpointIP }),
      ),
    })),
  };
}
