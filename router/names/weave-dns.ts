import { networkInterfaces } from "node:os";
import { DNS_CHANNEL, Nameserver } from "#dns/nameserver.js";
import type { Mesh } from "#mesh/mesh.js";
import type { KnownPeers, PeerName } from "#mesh/peer.js";
import { DnsServer } from "#router/names/dns-server.js";
import { DNS_PORT, type DnsOptions } from "#router/names/options.js";
import { ResolvConf } from "#router/names/resolv-conf.js";
import { Upstream } from "#router/names/upstream.js";
import { systemClock } from "#src/clock.js";
import type { ContainerLifecycle } from "#src/container-lifecycle.js";
import { errorText } from "#src/errors.js";
import { findLink, ipv4Of } from "#src/linux/links/links.js";
import type { Log } from "#src/log.js";
import { systemRandom } from "#src/random.js";
import type { Store } from "#src/store.js";

const ANY = "0.0.0.0";
const RECENT_MS = 5_000;

/** weaveDNS of a router: the names on the mesh, and the server that answers for them. */
export class WeaveDns implements ContainerLifecycle {
  readonly names: Nameserver;
  readonly upstream: Upstream;
  readonly options: DnsOptions;
  /** Undefined when the address is not to be had; {@link problem} says why. */
  readonly server: DnsServer | undefined;
  readonly problem: string | undefined;
  readonly #host: string;
  readonly #port: number;
  readonly #dockerBridge: string;
  #recent: { readonly at: number; readonly host: string } | undefined;

  private constructor(parts: {
    names: Nameserver;
    upstream: Upstream;
    options: DnsOptions;
    server: DnsServer | undefined;
    problem: string | undefined;
    host: string;
    port: number;
    dockerBridge: string;
  }) {
    this.names = parts.names;
    this.upstream = parts.upstream;
    this.options = parts.options;
    this.server = parts.server;
    this.problem = parts.problem;
    this.#host = parts.host;
    this.#port = parts.port;
    this.#dockerBridge = parts.dockerBridge;
  }

  /**
   * Starts answering. An address that the user named must be to be had; where we chose it, names are kept and told all the
   * same when it is not.
   *
   * @throws WEAVE_PORT_IN_USE, WEAVE_STORE
   */
  static async start(parts: {
    options: DnsOptions;
    self: PeerName;
    incarnation: number;
    mesh: Mesh;
    directory: KnownPeers;
    store: Store;
    /** Where Docker's containers look for a name server, if the host has it. */
    dockerBridge: string;
    log: Log;
  }): Promise<WeaveDns> {
    const { options, self, incarnation, mesh, directory: peers, store, dockerBridge, log } = parts;
    const names = new Nameserver({
      self,
      incarnation,
      domain: options.domain,
      clock: systemClock,
      random: systemRandom,
      log,
      store,
      prefix: "dns/own/",
      peers,
      time: () => mesh.time(),
    });
    const { host, port } = options.listen ?? { host: (await addressOf(dockerBridge)) ?? ANY, port: DNS_PORT };
    const ourselves = (address: string) =>
      port === DNS_PORT && (address === host || (host === ANY && isLocal(address)));
    const resolvConf = new ResolvConf(options.resolvConf, ourselves);
    const upstream = new Upstream({ resolvConf, random: systemRandom, timeoutMs: options.fallbackTimeoutMs });
    let server: DnsServer | undefined;
    let problem: string | undefined;
    try {
      server = await DnsServer.listen(host, port, { names, upstream, ttl: options.ttl, clock: systemClock, log });
    } catch (error) {
      if (options.listen !== undefined) throw error;
      problem = errorText(error);
      log.warn("names are kept, and not answered", { why: problem });
    }
    names.open(mesh.channel(DNS_CHANNEL, names));
    return new WeaveDns({ names, upstream, options, server, problem, host, port, dockerBridge });
  }

  /** Where containers of this host can ask, as it was some seconds ago at most: every container that is created asks this. */
  async recentAddress(bridge: string): Promise<string> {
    const now = systemClock.now();
    if (this.#recent === undefined || now - this.#recent.at > RECENT_MS)
      this.#recent = { at: now, host: (await this.address(bridge)).host };
    return this.#recent.host;
  }

  /** Where containers of this host can ask. @param bridge ours, whose address serves when we listen everywhere */
  async address(bridge: string): Promise<{ host: string; port: number }> {
    const port = this.server?.port ?? this.#port;
    if (this.#host !== ANY) return { host: this.#host, port };
    // Docker may have come after us.
    return { host: (await addressOf(this.#dockerBridge)) ?? (await addressOf(bridge)) ?? "127.0.0.1", port };
  }

  /** For the watch: whose names end with them, at once. */
  idents(): Iterable<string> {
    return this.names.ownIdents;
  }

  died(ident: string): void {
    this.names.remove({ ident });
  }

  alive(): void {}

  get listening(): string {
    return `${this.#host}:${this.server?.port ?? this.#port}`;
  }

  async stop(): Promise<void> {
    this.names.stop();
    await this.server?.close();
  }
}

async function addressOf(bridge: string): Promise<string | undefined> {
  const link = await findLink(bridge);
  return link && ipv4Of(link)[0]?.split("/")[0];
}

function isLocal(address: string): boolean {
  return Object.values(networkInterfaces()).some((list) => list?.some((each) => each.address === address));
}
