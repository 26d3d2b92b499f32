import { EVERYTHING, leaseText, type Subnet } from "#ipam/ring/subnet.js";
import type { Attachments } from "#router/attachments/attachments.js";
import type { BusyHolders } from "#router/attachments/busy-holders.js";
import { type AttachmentIpam, AttachmentLeases, cancelled } from "#router/attachments/leases.js";
import type { AttachmentNames } from "#router/attachments/names.js";
import { requestedCniAddresses, requestedCniMac } from "#router/cni/cni-addresses.js";
import type { CniCall } from "#router/cni/cni-call.js";
import { aliasesOf, type CniConfiguration } from "#router/cni/cni-configuration.js";
import { CniError } from "#router/cni/cni-error.js";
import { type CniIp, type CniResult, isIpv6Cidr, isIpv6Text, NO_RESULT } from "#router/cni/cni-result.js";
import { type PlannedRoutes, planRoutes } from "#router/cni/cni-routes.js";
import type { Exposure } from "#router/exposure/exposure.js";
import { addressOfCidr, inSubnets, parseCidr } from "#src/address.js";
import { WeaveError } from "#src/errors.js";
import { KeyedQueue } from "#src/keyed-queue.js";
import { readSysctl, writeSysctl } from "#src/linux/links/bridge.js";
import { cniHostIfname, cniIdent } from "#src/linux/netns/cni-ident.js";
import { configureCniInterface, makeCniPair, removeCniPair } from "#src/linux/netns/cni-interface.js";
import { findNetns, type Netns } from "#src/linux/netns/netns.js";
import type { Log } from "#src/log.js";
import { randomMac } from "#src/random-mac.js";
import { Resources } from "#src/resources.js";

/** Limit for obtaining addresses: the client gives up later, so that it receives the reason. */
const ADDRESS_MS = 25_000;
/** Limit for undoing each step of a failed ADD. */
const UNDO_MS = 10_000;
/** The smallest MTU of IPv4 (RFC 791). */
const MIN_MTU = 68;

export interface CniAttachmentsDeps {
  /** Undefined when address allocation is off. */
  readonly ipam: AttachmentIpam | undefined;
  readonly names: AttachmentNames;
  /** Exposes an address of the host, for default routes. */
  readonly attachments: Pick<Attachments, "expose">;
  readonly exposure: Pick<Exposure, "addresses">;
  readonly busy: BusyHolders;
  readonly log: Log;
}

export interface CniAttachmentsOptions {
  readonly bridge: string;
  /** MAC of the bridge. */
  readonly bridgeMac: string;
  /** MTU of the bridge, in bytes. */
  readonly mtu: number;
}

/** One call about an attachment. */
export interface CniAttachmentRequest {
  readonly call: CniCall;
  readonly configuration: CniConfiguration;
  /** Addresses of a delegated plugin; undefined: weave allocates. */
  readonly delegated: CniResult | undefined;
  /** Aborted when the client has disconnected. */
  readonly signal: AbortSignal;
}

/** Makes and removes the interfaces that CNI runtimes request. Calls about one attachment run one after another. */
export class CniAttachments {
  readonly #deps: CniAttachmentsDeps;
  readonly #options: CniAttachmentsOptions;
  readonly #leases: AttachmentLeases;
  readonly #queue = new KeyedQueue();

  constructor(deps: CniAttachmentsDeps, options: CniAttachmentsOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#leases = new AttachmentLeases(deps.ipam, options.bridge, deps.log);
  }

  /** Runs a task after earlier ones of the same attachment. */
  inTurn<T>(ident: string, task: () => Promise<T>): Promise<T> {
    return this.#queue.run(ident, () => this.#deps.busy.run(ident, task));
  }

  /** Attaches a container. A failed call leaves nothing. @throws CniError, WeaveError */
  add(request: CniAttachmentRequest): Promise<CniResult> {
    const { call, configuration } = request;
    this.checkConfiguration(configuration);
    const ident = cniIdent({ network: configuration.network, ...call });
    const mac = requestedCniMac(call, configuration) ?? randomMac();
    return this.inTurn(ident, async () => {
      const undo = new Resources(this.#deps.log, UNDO_MS);
      try {
        return await this.#add(request, ident, mac, undo);
      } catch (error) {
        await undo.release();
        throw error;
      }
    });
  }

  async #add(request: CniAttachmentRequest, ident: string, mac: string, undo: Resources): Promise<CniResult> {
    const { call, configuration, signal } = request;
    const { bridge, bridgeMac, mtu: bridgeMtu } = this.#options;
    const { netns: path, ifname } = call;
    const netns = findContainerNetns(path);
    const mtu = configuration.mtu || bridgeMtu;
    const addresses = await this.#addresses(request, ident, undo);
    const { gateways, planned } = await this.#routes(request, addresses);
    const hairpin = configuration.hairpinMode ?? true;
    const outsideMac = randomMac();
    await makeCniPair({ ident, netns, ifname, bridge, bridgeMtu, mtu, mac, outsideMac, hairpin });
    undo.add("interface", async () => void (await removeCniPair(ident)));
    await configureCniInterface({ netns, ifname, mac, mtu }, addresses, planned.commands);
    const four = addresses.filter((cidr) => !isIpv6Text(cidr));
    this.#register(request, ident, four, undo);
    if (signal.aborted) throw cancelled(ident);
    this.#deps.log.info("a container is on the network (CNI)", {
      container: call.container,
      network: configuration.network,
      addresses,
    });
    const made = {
      interfaces: [
        { name: bridge, mac: bridgeMac, mtu: bridgeMtu },
        { name: cniHostIfname(ident), mac: outsideMac, mtu: bridgeMtu },
        { name: ifname, mac, mtu, sandbox: path },
      ],
      ips: addresses.map((address) => ({ address, gateway: gatewayOf(address, gateways), interface: 2 })),
      routes: planned.routes,
    };
    return merge(configuration.previous ?? NO_RESULT, made, configuration.dns ?? request.delegated?.dns ?? {});
  }

  /** Registers the names that the runtime requests by the capability `aliases`, and the name of a container. */
  #register(
    { call, configuration }: CniAttachmentRequest,
    ident: string,
    addresses: readonly string[],
    undo: Resources,
  ): void {
    const { names } = this.#deps;
    // Runtimes send names unasked: Podman the start of each container's id.
    if (!names.areOn) return;
    for (const alias of aliasesOf(configuration))
      names.register({ ident, fqdn: names.qualified(alias), required: true }, addresses, undo);
    const own = containerNameOf(call);
    const fqdn = own && names.ownName(own);
    if (fqdn) names.register({ ident, fqdn, required: false }, addresses, undo);
  }

  /** Removes an attachment. Missing parts are no error. */
  remove(ident: string): Promise<void> {
    return this.inTurn(ident, async () => {
      await removeCniPair(ident);
      this.release(ident);
    });
  }

  /** Releases addresses and names of a holder. */
  release(ident: string): void {
    const { ipam, names } = this.#deps;
    const held = ipam?.requests.lookup(ident, EVERYTHING).map(leaseText) ?? [];
    names.unregisterAll(ident);
    this.#leases.release(ident, held);
  }

  /**
   * Obtains addresses without an interface, for another plugin.
   *
   * @param onObtained called before the end: its error releases the addresses
   * @returns addresses in CIDR notation
   */
  allocate(request: CniAttachmentRequest, ident: string, onObtained: () => void): Promise<readonly string[]> {
    return this.inTurn(ident, async () => {
      const undo = new Resources(this.#deps.log, UNDO_MS);
      try {
        const addresses = await this.#obtain(request, ident, undo);
        onObtained();
        return addresses;
      } catch (error) {
        await undo.release();
        throw error;
      }
    });
  }

  /** Checks the fields that concern weave's interface. @throws CniError 2 or 7 */
  checkConfiguration({ bridge, isGateway, ipMasq, mtu }: CniConfiguration): void {
    const { bridge: ours, mtu: most } = this.#options;
    for (const [name, value] of Object.entries({ isGateway, ipMasq })) {
      if (value)
        throw new CniError("unsupportedField", `"${name}": true is not supported`, {
          next: 'Remove it. Without "routes" and "gateway" in "ipam", the host is the containers\' gateway, and masquerades.',
        });
    }
    if (bridge !== undefined && bridge !== ours)
      throw new CniError("invalidConfiguration", `"bridge": "${bridge}" is not the bridge of weave, ${ours}`, {
        next: 'Remove "bridge" from the network configuration, or launch weave with --weave-bridge.',
      });
    if (mtu && (mtu < MIN_MTU || mtu > most))
      throw new CniError(
        "invalidConfiguration",
        `"mtu": ${mtu} is not from ${MIN_MTU} to ${most}, the MTU of the bridge`,
        {
          next: 'Remove "mtu" from the network configuration: weave then sets the MTU of its bridge.',
        },
      );
  }

  async #addresses(request: CniAttachmentRequest, ident: string, undo: Resources): Promise<readonly string[]> {
    const { delegated } = request;
    if (delegated === undefined) return this.#obtain(request, ident, undo);
    if (delegated.ips.length > 0) return delegated.ips.map(({ address }) => checkedCidr(address));
    throw new CniError("delegateFailed", `the IPAM plugin ${request.configuration.delegate} assigned no address`);
  }

  #obtain(
    { call, configuration, signal }: CniAttachmentRequest,
    ident: string,
    undo: Resources,
  ): Promise<readonly string[]> {
    const wanted = requestedCniAddresses(call, configuration, this.#deps.ipam?.defaultSubnet.text);
    return this.#leases.obtain(
      {
        ident,
        isContainer: true,
        wanted,
        timeoutMs: ADDRESS_MS,
        signal,
        warn: (text) => this.#deps.log.warn(text, { container: call.container }),
        claimPrefix: "",
      },
      [],
      undo,
    );
  }

  /** Plans the routes. Without routes and gateway in the configuration, the gateway is the host's own address on the bridge. */
  async #routes(
    { configuration, delegated, signal }: CniAttachmentRequest,
    addresses: readonly string[],
  ): Promise<{ readonly gateways: readonly string[]; readonly planned: PlannedRoutes }> {
    const { ipam, previous } = configuration;
    const found = delegated?.routes ?? [];
    const routes = delegated === undefined ? (ipam.routes ?? undefined) : found.length > 0 ? found : undefined;
    let gateways = delegated === undefined ? [ipam.gateway] : firstOfEachFamily(delegated.ips);
    // A plugin before this one in the list has made the default route.
    const isChained = previous !== undefined && routes === undefined;
    if (routes === undefined && gateways.every((each) => each === undefined) && !isChained)
      gateways = [await this.#bridgeAddress(addresses, signal)];
    const known = gateways.filter((each) => each !== undefined);
    const planned = planRoutes({ addresses, routes: isChained ? [] : routes, gateways: known });
    return { gateways: known, planned };
  }

  /** The host's address on the bridge, in the subnet of the container where possible. Exposes one if there is none. */
  async #bridgeAddress(addresses: readonly string[], signal: AbortSignal): Promise<string | undefined> {
    const { ipam, exposure, attachments } = this.#deps;
    const four = addresses.filter((cidr) => !isIpv6Text(cidr));
    if (four.length === 0) return undefined;
    const subnets = four.map(parseCidr);
    forwardPackets(this.#deps.log);
    const exposed = exposure.addresses.map(addressOfCidr);
    const near = exposed.find((address) => inSubnets(address, subnets));
    if (near !== undefined) return near;
    const subnet = ipam && allocatable(subnets[0].subnet, ipam.defaultSubnet);
    if (subnet !== undefined) {
      const wanted = [{ kind: "net" as const, subnet }];
      try {
        const [cidr] = await attachments.expose({ wanted, timeoutMs: ADDRESS_MS, signal, masquerade: true });
        return addressOfCidr(cidr);
      } catch (error) {
        if (!(error instanceof WeaveError && error.code === "WEAVE_IPAM_RANGE")) throw error;
      }
    }
    if (exposed.length > 0) return exposed[0];
    throw new CniError("failed", `the host has no address on the bridge, which would be the gateway of ${four[0]}`, {
      next: '\'weave expose\' gives it one; or set "gateway" or "routes" in "ipam" of the network configuration.',
    });
  }
}

const FORWARD = "net/ipv4/ip_forward";

/** Has the kernel forward packets: the host is the containers' gateway. Other CNI plugins and Docker set the same. */
function forwardPackets(log: Log): void {
  if (readSysctl(FORWARD) === "1") return;
  writeSysctl(FORWARD, "1");
  if (readSysctl(FORWARD) === "1")
    log.info("this host forwards packets from now on: it is the gateway of containers (CNI)");
  else log.warn("containers reach nothing beyond this host: net.ipv4.ip_forward is 0 and cannot be set");
}

/**
 * The name of a container, which Podman passes where Kubernetes passes the name of a pod, with its namespace. Pods have no names in
 * weaveDNS: Kubernetes has a DNS of its own.
 */
const containerNameOf = ({ args }: CniCall): string | undefined =>
  args.has("K8S_POD_NAMESPACE") ? undefined : args.get("K8S_POD_NAME");

/** Finds the namespace of a container. @throws CniError 3 where there is none, 4 for another file */
function findContainerNetns(path: string): Netns {
  try {
    return findNetns(path);
  } catch (error) {
    if (!(error instanceof WeaveError) || error.message.includes("not found")) throw error;
    throw new CniError("invalidEnvironment", `CNI_NETNS ${path}: ${error.message.replaceAll("\n", " ")}`, {
      cause: error,
    });
  }
}

/** The subnet to allocate the host's address in; undefined for a network that only has the one address. */
function allocatable(subnet: string, defaultSubnet: Subnet): string | undefined {
  if (subnet === defaultSubnet.text) return "";
  return parseCidr(subnet).prefix <= 30 ? subnet : undefined;
}

function firstOfEachFamily(ips: readonly CniIp[]): (string | undefined)[] {
  const gateways = ips.flatMap(({ gateway }) => (gateway === undefined ? [] : [gateway]));
  return [gateways.find((each) => !isIpv6Text(each)), gateways.find(isIpv6Text)];
}

const gatewayOf = (address: string, gateways: readonly string[]): string | undefined =>
  gateways.find((each) => isIpv6Text(each) === isIpv6Text(address));

/** Checks an address of a delegated plugin. @throws CniError 6 */
function checkedCidr(text: string): string {
  if (!isIpv6Text(text)) return parseCidr(text).text;
  if (isIpv6Cidr(text)) return text;
  throw new CniError("decoding", `${JSON.stringify(text.slice(0, 64))} of the IPAM plugin is no address`);
}

/** Appends an interface to the result of the plugins before. Indexes of interfaces count from the first of all. */
function merge(previous: CniResult, made: Omit<CniResult, "dns">, dns: CniResult["dns"]): CniResult {
  const offset = previous.interfaces.length;
  return {
    interfaces: [...previous.interfaces, ...made.interfaces],
    ips: [...previous.ips, ...made.ips.map((ip) => ({ ...ip, interface: offset + (ip.interface ?? 0) }))],
    routes: [...previous.routes, ...made.routes],
    dns: Object.keys(dns).length > 0 ? dns : previous.dns,
  };
}
