import { rmSync } from "node:fs";
import type { Server } from "node:http";
import { basename } from "node:path";
import type { IpamDriver } from "#docker/plugin/ipam-driver.js";
import type { NetworkDriver } from "#docker/plugin/network-driver.js";
import {
  allocateNetworkShape,
  anythingShape,
  createEndpointShape,
  createNetworkShape,
  endpointShape,
  joinShape,
  networkShape,
  poolShape,
  releaseAddressShape,
  requestAddressShape,
  requestPoolShape,
  SPACES,
} from "#docker/plugin/protocol.js";
import { type Methods, method, openPluginSocket } from "#docker/plugin/socket.js";
import { WeaveError } from "#src/errors.js";
import type { Log } from "#src/log.js";

/** The drivers' names, by which Docker knows them: those of their sockets (moby, pkg/plugins/discovery.go). */
export interface DriverNames {
  readonly network: string;
  /** Of networks and of IPAM. */
  readonly mesh: string;
}

export function driverNames({ pluginSocket, meshSocket }: { pluginSocket: string; meshSocket: string }): DriverNames {
  return { network: basename(pluginSocket, ".sock"), mesh: basename(meshSocket, ".sock") };
}

/** A call that comes while the router is starting waits this long: it starts in less than one second. */
const START_MS = 10_000;

export interface Drivers {
  readonly network: NetworkDriver;
  readonly ipam: IpamDriver;
}

/**
 * Docker's plugin (V1): two sockets that are there before anything else of the router is, as Docker waits long, holding its
 * locks, for one that is not.
 */
export class Plugin {
  readonly #sockets: readonly string[];
  readonly #log: Log;
  readonly #servers: Server[] = [];
  #drivers: Drivers | undefined;
  #onReady: (() => void)[] = [];

  private constructor(sockets: readonly string[], log: Log) {
    this.#sockets = sockets;
    this.#log = log;
  }

  /** @throws WEAVE_PLUGIN; then no socket is left */
  static async open(options: { pluginSocket: string; meshSocket: string }, log: Log): Promise<Plugin> {
    const plugin = new Plugin([options.pluginSocket, options.meshSocket], log);
    try {
      await plugin.#listen(options.pluginSocket, ["NetworkDriver"], plugin.#networkMethods());
      await plugin.#listen(options.meshSocket, ["NetworkDriver", "IpamDriver"], {
        ...plugin.#networkMethods(),
        ...plugin.#ipamMethods(),
      });
    } catch (error) {
      plugin.close();
      throw error;
    }
    return plugin;
  }

  /** From now on calls are answered in full. */
  serve(drivers: Drivers): void {
    this.#drivers = drivers;
    for (const ready of this.#onReady.splice(0)) ready();
  }

  close(): void {
    for (const [index, server] of this.#servers.entries()) {
      server.close();
      server.closeAllConnections();
      rmSync(this.#sockets[index], { force: true });
    }
  }

  async #listen(socket: string, Implements: readonly string[], methods: Methods): Promise<void> {
    const activate = method("Err", anythingShape, () => ({ Implements }));
    this.#servers.push(await openPluginSocket(socket, { "/Plugin.Activate": activate, ...methods }, this.#log));
  }

  #networkMethods(): Methods {
    const network = async () => (await this.#ready()).network;
    const nothing = () => ({});
    return {
      // Local scope also for `weave`: a plugin of this kind is refused in a swarm, and without one there is no other.
      "/NetworkDriver.GetCapabilities": method("Err", anythingShape, () => ({
        Scope: "local",
        ConnectivityScope: "global",
        GwAllocChecker: true,
      })),
      // No gateway is ever made: an address for it would be wasted.
      "/NetworkDriver.GwAllocCheck": method("Err", anythingShape, () => ({ SkipIPv4: true, SkipIPv6: true })),
      "/NetworkDriver.AllocateNetwork": method("Err", allocateNetworkShape, ({ Options }) => ({ Options })),
      "/NetworkDriver.FreeNetwork": method("Err", networkShape, nothing),
      "/NetworkDriver.CreateNetwork": method("Err", createNetworkShape, async (call) =>
        (await network()).createNetwork(call),
      ),
      "/NetworkDriver.DeleteNetwork": method("Err", networkShape, async (call) =>
        (await network()).deleteNetwork(call),
      ),
      "/NetworkDriver.CreateEndpoint": method("Err", createEndpointShape, async (call, signal) =>
        (await network()).createEndpoint(call, signal),
      ),
      "/NetworkDriver.DeleteEndpoint": method("Err", endpointShape, async (call) =>
        (await network()).deleteEndpoint(call),
      ),
      "/NetworkDriver.EndpointOperInfo": method("Err", endpointShape, () => ({ Value: {} })),
      "/NetworkDriver.Join": method("Err", joinShape, async (call) => (await network()).join(call)),
      // Docker moves the interface back out itself; it goes with the endpoint.
      "/NetworkDriver.Leave": method("Err", endpointShape, nothing),
      "/NetworkDriver.ProgramExternalConnectivity": method("Err", endpointShape, nothing),
      "/NetworkDriver.RevokeExternalConnectivity": method("Err", endpointShape, nothing),
      "/NetworkDriver.DiscoverNew": method("Err", anythingShape, nothing),
      "/NetworkDriver.DiscoverDelete": method("Err", anythingShape, nothing),
    };
  }

  #ipamMethods(): Methods {
    const ipam = async () => (await this.#ready()).ipam;
    return {
      "/IpamDriver.GetCapabilities": method("Error", anythingShape, () => ({
        RequiresMACAddress: false,
        RequiresRequestReplay: false,
      })),
      "/IpamDriver.GetDefaultAddressSpaces": method("Error", anythingShape, async () => SPACES),
      "/IpamDriver.RequestPool": method("Error", requestPoolShape, async (call) => (await ipam()).requestPool(call)),
      // A pool is no more than its id.
      "/IpamDriver.ReleasePool": method("Error", poolShape, () => ({})),
      "/IpamDriver.RequestAddress": method("Error", requestAddressShape, async (call, signal) =>
        (await ipam()).requestAddress(call, signal),
      ),
      "/IpamDriver.ReleaseAddress": method("Error", releaseAddressShape, async (call) =>
        (await ipam()).releaseAddress(call),
      ),
    };
  }

  /** @throws WEAVE_CANCELLED when the router does not get ready */
  async #ready(): Promise<Drivers> {
    if (this.#drivers === undefined) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, START_MS).unref();
        this.#onReady.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
    if (this.#drivers !== undefined) return this.#drivers;
    throw new WeaveError("WEAVE_CANCELLED", "weave is starting, and not ready yet", {
      next: "Try again in some seconds; 'weave status' and the router's log tell more.",
    });
  }
}
