import { activation, allocated, capabilities } from "#docker/plugin/activation.js";
import type { IpamDriver } from "#docker/plugin/ipam-driver.js";
import type { NetworkDriver } from "#docker/plugin/network-driver.js";
import {
  allocateNetworkShape,
  anythingShape,
  createEndpointShape,
  createNetworkShape,
  endpointShape,
  joinShape,
  networkIdShape,
  poolShape,
  releaseAddressShape,
  requestAddressShape,
  requestPoolShape,
  SPACES,
} from "#docker/plugin/protocol.js";
import { type Methods, method } from "#docker/plugin/socket.js";

const nothing = () => ({});

/** The method that Docker calls first. Its answer lists the kinds of drivers that the socket implements. */
export const activateMethod = (Implements: readonly string[]): Methods => ({
  "/Plugin.Activate": method("Err", anythingShape, () => activation(Implements)),
});

/**
 * Creates the methods of a network driver.
 *
 * @param driver resolves when the router has started
 * @param options.managed as of {@link capabilities}
 * @param options.onNodes called when the engine has discovered a node of its swarm, or lost one
 */
export function networkMethods(
  driver: () => Promise<NetworkDriver>,
  { managed, onNodes }: { readonly managed: boolean; readonly onNodes: () => void },
): Methods {
  const nodes = () => {
    onNodes();
    return {};
  };
  return {
    "/NetworkDriver.GetCapabilities": method("Err", anythingShape, () => capabilities(managed)),
    // There is never a gateway, so Docker need not allocate an address for one.
    "/NetworkDriver.GwAllocCheck": method("Err", anythingShape, () => ({ SkipIPv4: true, SkipIPv6: true })),
    "/NetworkDriver.AllocateNetwork": method("Err", allocateNetworkShape, allocated),
    "/NetworkDriver.FreeNetwork": method("Err", networkIdShape, nothing),
    "/NetworkDriver.CreateNetwork": method("Err", createNetworkShape, async (call) =>
      (await driver()).createNetwork(call),
    ),
    "/NetworkDriver.DeleteNetwork": method("Err", networkIdShape, async (call) => (await driver()).deleteNetwork(call)),
    "/NetworkDriver.CreateEndpoint": method("Err", createEndpointShape, async (call, signal) =>
      (await driver()).createEndpoint(call, signal),
    ),
    "/NetworkDriver.DeleteEndpoint": method("Err", endpointShape, async (call) =>
      (await driver()).deleteEndpoint(call),
    ),
    "/NetworkDriver.EndpointOperInfo": method("Err", endpointShape, () => ({ Value: {} })),
    "/NetworkDriver.Join": method("Err", joinShape, async (call) => (await driver()).join(call)),
    // Docker moves the interface out of the container itself. It is deleted with the endpoint.
    "/NetworkDriver.Leave": method("Err", endpointShape, nothing),
    "/NetworkDriver.ProgramExternalConnectivity": method("Err", endpointShape, nothing),
    "/NetworkDriver.RevokeExternalConnectivity": method("Err", endpointShape, nothing),
    "/NetworkDriver.DiscoverNew": method("Err", anythingShape, nodes),
    "/NetworkDriver.DiscoverDelete": method("Err", anythingShape, nodes),
  };
}

/** Creates the methods of an IPAM driver. @param driver resolves when the router has started */
export function ipamMethods(driver: () => Promise<IpamDriver>): Methods {
  return {
    "/IpamDriver.GetCapabilities": method("Error", anythingShape, () => ({
      RequiresMACAddress: false,
      RequiresRequestReplay: false,
    })),
    "/IpamDriver.GetDefaultAddressSpaces": method("Error", anythingShape, () => SPACES),
    "/IpamDriver.RequestPool": method("Error", requestPoolShape, async (call) => (await driver()).requestPool(call)),
    "/IpamDriver.ReleasePool": method("Error", poolShape, async (call) => (await driver()).releasePool(call)),
    "/IpamDriver.RequestAddress": method("Error", requestAddressShape, async (call, signal) =>
      (await driver()).requestAddress(call, signal),
    ),
    "/IpamDriver.ReleaseAddress": method("Error", releaseAddressShape, async (call) =>
      (await driver()).releaseAddress(call),
    ),
  };
}
