import { rmSync } from "node:fs";
import type { Server } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { MANAGED_KINDS } from "#docker/plugin/activation.js";
import type { PluginOptions } from "#docker/plugin/driver-names.js";
import type { IpamDriver } from "#docker/plugin/ipam-driver.js";
import type { NetworkDriver } from "#docker/plugin/network-driver.js";
import { activateMethod, ipamMethods, networkMethods } from "#docker/plugin/plugin-methods.js";
import { type Methods, openPluginSocket } from "#docker/plugin/socket.js";
import { WeaveError } from "#src/errors.js";
import type { Log } from "#src/log.js";
import { settledWithin } from "#src/time-limit.js";

/** Limit for the wait of a call that arrives while the router starts. A start takes less than one second. */
const START_MS = 10_000;
/** Time in which the server accepts the connections that the kernel has accepted before the socket was removed. */
const ACCEPT_MS = 20;
/** Limit for the calls in progress when the sockets close. A call takes some 100 ms, and a stop may not last. */
const CALLS_MS = 800;

/** Receivers of the calls. */
export interface Drivers {
  readonly network: NetworkDriver;
  readonly ipam: IpamDriver;
  /** Called when the nodes of the engine's swarm have changed. */
  readonly onNodes: () => void;
}

/**
 * The sockets of Docker's plugin: two of a legacy plugin (V1), one of a managed plugin (V2). They open before the drivers exist, because
 * Docker holds its locks while it waits for a plugin that does not answer.
 */
export class PluginSockets {
  readonly #log: Log;
  readonly #servers = new Map<string, Server>();
  /** Functions that resume the calls that wait for the drivers. */
  readonly #waiting = new Set<() => void>();
  #drivers: Drivers | undefined;

  private constructor(log: Log) {
    this.#log = log;
  }

  /** Opens the sockets; calls wait until {@link serve}. @throws WEAVE_PLUGIN; then no socket is open */
  static async open({ pluginSocket, meshSocket, pluginV2 }: PluginOptions, log: Log): Promise<PluginSockets> {
    const sockets = new PluginSockets(log);
    const network = networkMethods(async () => (await sockets.#ready()).network, {
      managed: pluginV2,
      // A router that starts reads the swarm's nodes itself.
      onNodes: () => sockets.#drivers?.onNodes(),
    });
    if (pluginV2) {
      await sockets.#listen(pluginSocket, { ...activateMethod(MANAGED_KINDS), ...network });
      return sockets;
    }
    const ipam = ipamMethods(async () => (await sockets.#ready()).ipam);
    try {
      await sockets.#listen(pluginSocket, { ...activateMethod(["NetworkDriver"]), ...network });
      await sockets.#listen(meshSocket, {
        ...activateMethod(["NetworkDriver", "IpamDriver"]),
        ...network,
        ...ipam,
      });
    } catch (error) {
      await sockets.close();
      throw error;
    }
    return sockets;
  }

  /** Passes the waiting calls and all later ones to the drivers. */
  serve(drivers: Drivers): void {
    this.#drivers = drivers;
    this.#resume();
  }

  /**
   * Removes the sockets, answers the calls in progress, then closes all connections. An engine repeats a call for 30 s, but without
   * its body if the connection was made (moby, pkg/plugins/client.go: the body is read once). Where it finds no socket, it
   * repeats the whole call.
   */
  async close(): Promise<void> {
    for (const path of this.#servers.keys()) rmSync(path, { force: true });
    // Without drivers they are refused.
    this.#resume();
    await sleep(ACCEPT_MS);
    const closed = [...this.#servers.values()].map((server) => new Promise((resolve) => server.close(resolve)));
    await settledWithin(Promise.all(closed), CALLS_MS);
    for (const server of this.#servers.values()) server.closeAllConnections();
    this.#servers.clear();
  }

  async #listen(path: string, methods: Methods): Promise<void> {
    this.#servers.set(path, await openPluginSocket(path, methods, this.#log));
  }

  /** Resumes the calls that wait for the drivers. */
  #resume(): void {
    for (const ready of this.#waiting) ready();
    this.#waiting.clear();
  }

  /** @throws WEAVE_CANCELLED when the router does not start in time */
  async #ready(): Promise<Drivers> {
    if (this.#drivers === undefined) await this.#wait();
    if (this.#drivers !== undefined) return this.#drivers;
    throw new WeaveError("WEAVE_CANCELLED", "weave is starting, and is not ready yet", {
      next: "Try again in some seconds; 'weave status' and the router's log show more.",
    });
  }

  #wait(): Promise<void> {
    return new Promise((resolve) => {
      const ready = () => {
        clearTimeout(timer);
        this.#waiting.delete(ready);
        resolve();
      };
      const timer = setTimeout(ready, START_MS).unref();
      this.#waiting.add(ready);
    });
  }
}
