import { realpathSync } from "node:fs";
import { basename } from "node:path";
import type { EngineAddress } from "#docker/engine/engine-address.js";
import { isAddress } from "#src/net/family.js";

/** Where Podman's service answers, with an API like Docker's: unit `podman.socket`, podman-system-service(1). */
export const PODMAN_SOCKET = "/run/podman/podman.sock";
/** The bridge of Podman's default network, and its address (containers.conf(5): `default_subnet`). */
export const PODMAN_BRIDGE = "podman0";
const PODMAN_GATEWAY = "10.88.0.1";
/** Name of the default network (containers.conf(5): `default_network`). */
const PODMAN_NETWORK = "podman";

/**
 * Whether Podman's service answers at an address. The name of the socket shows it before the service runs, also behind the link
 * `/run/docker.sock` of the package `podman-docker`.
 */
export function isPodman(address: EngineAddress): boolean {
  if (!("socketPath" in address)) return false;
  let path = address.socketPath;
  try {
    path = realpathSync(path);
  } catch {
    // The service does not run, or not yet.
  }
  return basename(path) === basename(PODMAN_SOCKET);
}

/** The client of the engine, as far as the default network is read. */
interface NetworkLookup {
  network(name: string): Promise<{
    readonly IPAM?: { readonly Config: readonly { readonly Gateway: string }[] } | null | undefined;
  }>;
}

/**
 * The host's address on Podman's default network. Its bridge exists only while a container is on the network. The other networks have a name
 * server of Podman's own, at their own address on port 53.
 */
export async function podmanGateway(engine: NetworkLookup): Promise<string> {
  try {
    const { IPAM } = await engine.network(PODMAN_NETWORK);
    const gateways = (IPAM?.Config ?? []).map(({ Gateway }) => Gateway);
    return gateways.find((address) => isAddress(address)) ?? PODMAN_GATEWAY;
  } catch {
    // The service does not answer: the network is most likely the usual one.
    return PODMAN_GATEWAY;
  }
}
