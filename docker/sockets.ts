import { Engine } from "#docker/engine/engine.js";
import { parseEngineAddress } from "#docker/engine/engine-address.js";
import { isPodman, podmanGateway } from "#docker/engine/podman.js";
import type { DockerOptions } from "#docker/flags.js";
import { PluginSockets } from "#docker/plugin/plugin-sockets.js";
import { ApiProxy } from "#docker/proxy/proxy.js";
import { installHelper } from "#docker/wait/helper.js";
import { errorText } from "#src/errors.js";
import type { Log } from "#src/log.js";

/**
 * Sockets of the plugin and the proxy, and the client of the engine. They open before the rest of the router, because Docker holds its
 * locks while it waits for a plugin that does not answer. Until {@link DockerIntegration} serves them, calls of the plugin wait, and the
 * proxy passes all calls through unchanged.
 */
export class DockerSockets {
  readonly options: DockerOptions;
  readonly engine: Engine;
  /** Folder of the waiting helper on this host; undefined when the proxy is off, or there is no helper for this architecture. */
  readonly helper: string | undefined;
  /** Undefined when the plugin is off. */
  readonly plugin: PluginSockets | undefined;
  /** Undefined when the proxy is off. */
  readonly proxy: ApiProxy | undefined;
  readonly log: Log;

  private constructor(sockets: Pick<DockerSockets, "options" | "engine" | "helper" | "plugin" | "proxy" | "log">) {
    this.options = sockets.options;
    this.engine = sockets.engine;
    this.helper = sockets.helper;
    this.plugin = sockets.plugin;
    this.proxy = sockets.proxy;
    this.log = sockets.log;
  }

  /**
   * Installs the waiting helper and opens the sockets.
   *
   * @param helperFolder folder on this host for the waiting helper
   * @throws WEAVE_PLUGIN, WEAVE_PORT_IN_USE, WEAVE_API; then nothing listens
   */
  static async open(options: DockerOptions, helperFolder: string, log: Log): Promise<DockerSockets> {
    const engine = new Engine(parseEngineAddress(options.api, process.env));
    const helper = options.proxy ? installHelper(helperFolder) : undefined;
    const plugin = options.plugin ? await PluginSockets.open(options, log) : undefined;
    try {
      if (options.proxy && helper === undefined)
        log.warn("no waiting helper for this architecture: the proxy puts no containers on the network", {
          architecture: process.arch,
        });
      const proxy = options.proxy ? await ApiProxy.open({ engine: engine.address, log }, options) : undefined;
      return new DockerSockets({ options, engine, helper, plugin, proxy, log });
    } catch (error) {
      await plugin?.close();
      throw error;
    }
  }

  /** The host's address on the engine's default network, if its bridge need not exist; undefined with Docker, whose bridge always does. */
  async absentBridgeAddress(): Promise<string | undefined> {
    return isPodman(this.engine.address) ? podmanGateway(this.engine) : undefined;
  }

  async close(): Promise<void> {
    await this.plugin?.close();
    await this.proxy?.close().catch((error) => this.log.warn("the proxy did not close", { why: errorText(error) }));
  }
}
