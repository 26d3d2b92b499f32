import { networkInterfaces } from "node:os";
import type { ClientSubnets } from "#dns/client-subnets.js";
import { DNS_CHANNEL, Nameserver } from "#dns/nameserver.js";
import type { Mesh } from "#mesh/mesh.js";
import type { KnownPeers, PeerName } from "#mesh/peer.js";
import { DnsServer } from "#router/names/dns-server.js";
import { DNS_PORT, type DnsOptions } from "#router/names/options.js";
import { ResolvConf } from "#router/names/resolv-conf.js";
import { Upstream } from "#router/names/upstream.js";
import { addressOfCidr } from "#src/address.js";
import { systemClock } from "#src/clock.js";
import type { ContainerLifecycle } from "#src/container-lifecycle.js";
import { errorText } from "#src/errors.js";
import { findLink, ipv4Of } from "#src/linux/links/links.js";
import { addLoopbackAddress, removeLoopbackAddresses } from "#src/linux/links/loopback.js";
import type { Log } from "#src/log.js";
import { ANY_HOST, isAnyHost } from "#src/net/family.js";
import { hostPortText } from "#src/net/host-port.js";
import { systemRandom } from "#src/random.js";
import type { Store } from "#src/store.js";

/** Maximum age of the result of {@link WeaveDns.recentHost}. */
const RECENT_MS = 5_000;

/** The bridges whose addresses are reachable from containers. */
export interface ContainerBridges {
  /** Name of the engine's default bridge, which may not exist. */
  readonly docker: string;
  /** The address of that bridge, if the bridge need not exist: Podman makes it for the first container, and removes it after the last. */
  readonly dockerAddress: string | undefined;
  /** Name of the router's own. */
  readonly weave: string;
}

export interface WeaveDnsDeps {
  readonly options: DnsOptions;
  readonly self: PeerName;
  readonly incarnation: number;
  readonly mesh: Mesh;
  readonly directory: KnownPeers;
  readonly store: Store;
  readonly bridges: ContainerBridges;
  readonly log: Log;
}

interface Started {
  readonly names: Nameserver;
  readonly upstream: Upstream;
  readonly options: DnsOptions;
  readonly bridges: WeaveDnsDeps["bridges"];
  readonly host: string;
  readonly port: number;
  /** Undefined when the address is not available; {@link problem} has the reason. */
  readonly server: DnsServer | undefined;
  readonly problem: string | undefined;
}

/** weaveDNS of a router: the names on the mesh, and the DNS server that answers for them. */
export class WeaveDns implements ContainerLifecycle {
  readonly #started: Started;
  #recent: { readonly at: number; readonly host: string } | undefined;

  private constructor(started: Started) {
    this.#started = started;
  }

  /**
   * Starts weaveDNS. An address from `--dns-listen-address` must be available. If the default address is not available, names
   * are still stored and sent to the other peers, but queries are not answered.
   *
   * @throws WEAVE_PORT_IN_USE, WEAVE_STORE
   */
  static async start(deps: WeaveDnsDeps): Promise<WeaveDns> {
    const { options, self, incarnation, mesh, directory: peers, store, bridges, log } = deps;
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
      replicas: mesh.replicas,
      time: () => mesh.time(),
    });
    const { host, port } = options.listen ?? { host: await defaultHost(bridges, log), port: DNS_PORT };
    const ourselves = (address: string) =>
      port === DNS_PORT && (address === host || (isAnyHost(host) && isLocal(address)));
    const resolvConf = new ResolvConf(options.resolvConf, ourselves);
    const upstream = new Upstream({ resolvConf, random: systemRandom, timeoutMs: options.fallbackTimeoutMs });
    let server: DnsServer | undefined;
    let problem: string | undefined;
    try {
      server = await DnsServer.listen(host, port, { names, upstream, ttl: options.ttl, clock: systemClock, log });
    } catch (error) {
      if (options.listen !== undefined) throw error;
      problem = errorText(error);
      log.warn("names are kept, and queries are not answered", { why: problem });
    }
    names.open(mesh.channel(DNS_CHANNEL, names.gossiper));
    return new WeaveDns({ names, upstream, options, bridges, host, port, server, problem });
  }

  get names(): Nameserver {
    return this.#started.names;
  }

  /** Addresses of the name servers that receive queries for other names. */
  get upstreamServers(): readonly string[] {
    return this.#started.upstream.servers;
  }

  /** Time to live of answers, in seconds. */
  get ttl(): number {
    return this.#started.options.ttl;
  }

  /** Queries by their results; undefined while the server does not listen. */
  get queryCounts(): Readonly<Record<string, number>> | undefined {
    return this.#started.server?.counts;
  }

  /** The reason why the server does not listen; undefined while it listens. */
  get problem(): string | undefined {
    return this.#started.problem;
  }

  /** The address of the server: `host:port`. */
  get listening(): string {
    return hostPortText(this.#started.host, this.#port);
  }

  /** The host of {@link address}, cached for some seconds, because every new container needs it. */
  async recentHost(): Promise<string> {
    const now = systemClock.now();
    if (this.#recent === undefined || now - this.#recent.at > RECENT_MS)
      this.#recent = { at: now, host: (await this.address()).host };
    return this.#recent.host;
  }

  /** The address to which containers of this host can send queries. */
  async address(): Promise<{ host: string; port: number }> {
    const { host, bridges } = this.#started;
    const port = this.#port;
    if (!isAnyHost(host)) return { host, port };
    // Docker may have started after the router: the bridges are looked up at each call.
    return { host: (await addressOf(bridges.docker)) ?? (await addressOf(bridges.weave)) ?? "127.0.0.1", port };
  }

  /** Sets the source of the clients' subnets: of several addresses of a name, a client receives those that it reaches. */
  useSubnets(source: ClientSubnets): void {
    this.#started.server?.useSubnets(source);
  }

  /** Containers that have names. The names are removed as soon as the container has ended. */
  idents(): Iterable<string> {
    return this.names.ownIdents;
  }

  containerEnded(ident: string): void {
    this.names.remove({ ident });
  }

  containerRuns(): void {}

  async stop(): Promise<void> {
    this.names.stop();
    await this.#started.server?.close();
    if (this.#started.bridges.dockerAddress !== undefined) await removeLoopbackAddresses();
  }

  get #port(): number {
    return this.#started.server?.port ?? this.#started.port;
  }
}

/** The host to listen at: the address of the engine's bridge, else all. A bridge that need not exist has its address on the loopback interface too. */
async function defaultHost({ docker, dockerAddress }: ContainerBridges, log: Log): Promise<string> {
  if (dockerAddress === undefined) return (await addressOf(docker)) ?? ANY_HOST;
  try {
    await addLoopbackAddress(dockerAddress);
  } catch (error) {
    log.warn("containers reach weaveDNS only while one of them is on the default network", { why: errorText(error) });
  }
  return dockerAddress;
}

async function addressOf(bridge: string): Promise<string | undefined> {
  const link = await findLink(bridge);
  const cidr = link && ipv4Of(link)[0];
  return cidr && addressOfCidr(cidr);
}

function isLocal(address: string): boolean {
  return Object.values(networkInterfaces()).some((list) => list?.some((each) => each.address === address));
}
