import type { Requests } from "#ipam/allocation/requests.js";
import { EVERYTHING, leaseText, parseLease, parseSubnet, type Subnet } from "#ipam/ring/subnet.js";
import { parseCidr } from "#src/address.js";
import type { AddressArgument } from "#src/address-argument.js";
import { errorText, WeaveError } from "#src/errors.js";
import { overlappingRoute } from "#src/linux/routes/routes.js";
import type { Log } from "#src/log.js";
import type { Resources } from "#src/resources.js";

/** Address allocation of the router, as attachments use it. */
export interface AttachmentIpam {
  readonly requests: Pick<Requests, "allocate" | "claim" | "free" | "lookup">;
  readonly defaultSubnet: Subnet;
}

export interface LeaseRequest {
  readonly ident: string;
  readonly wanted: readonly AddressArgument[];
  /** True: the addresses are released when the holder ends. */
  readonly isContainer: boolean;
  /** Time limit for obtaining an address; undefined: none. */
  readonly timeoutMs: number | undefined;
  /** Aborted when the client has disconnected: the request ends. */
  readonly signal: AbortSignal;
  /** Receives warnings of a request that succeeds. */
  readonly warn: (text: string) => void;
  /** Prefix of the error message for an address that the request names; "" for none. */
  readonly claimPrefix: string;
}

/** Obtains and releases the addresses of attachments: allocated, claimed, or, without IPAM, used as the request names them. */
export class AttachmentLeases {
  readonly #ipam: AttachmentIpam | undefined;
  readonly #bridge: string;
  readonly #log: Log;

  constructor(ipam: AttachmentIpam | undefined, bridge: string, log: Log) {
    this.#ipam = ipam;
    this.#bridge = bridge;
    this.#log = log;
  }

  /**
   * Obtains addresses for a holder. Addresses that it already has stay allocated.
   *
   * @param present addresses on its interface: without IPAM, the addresses that it already has
   * @param undo receives steps that release the addresses that the holder did not have before
   * @returns addresses in CIDR notation
   * @throws WEAVE_IPAM when IPAM is required and off; the errors of `Requests`
   */
  async obtain(request: LeaseRequest, present: readonly string[], undo: Resources): Promise<string[]> {
    const { ident, wanted, signal } = request;
    const before = new Set(this.#ipam?.requests.lookup(ident, EVERYTHING).map(leaseText) ?? present);
    const addresses: string[] = [];
    for (const each of wanted) {
      const cidr =
        each.kind === "net" ? await this.#allocate(request, each.subnet) : await this.#claim(request, each.cidr);
      addresses.push(cidr);
      if (!before.has(cidr)) undo.add(`address ${cidr}`, () => this.release(ident, [cidr]));
      if (signal.aborted) throw cancelled(ident);
    }
    return addresses;
  }

  /** The addresses of a holder that `wanted` names; a subnet names all its addresses there. Never waits and never allocates. */
  held(ident: string, wanted: readonly AddressArgument[]): string[] {
    return wanted.flatMap((each) => {
      if (each.kind === "ip") return [each.cidr];
      const { requests } = this.#allocation();
      return requests.lookup(ident, this.#subnet(each.subnet)).map(leaseText);
    });
  }

  /** Releases addresses. An address that is not allocated is no error: it was used without IPAM. */
  release(ident: string, addresses: readonly string[]): void {
    for (const cidr of addresses) {
      try {
        this.#ipam?.requests.free(ident, parseLease(cidr).address);
      } catch (error) {
        if (error instanceof WeaveError && error.code === "WEAVE_IPAM_NOT_FOUND") continue;
        this.#log.warn("an address could not be given back", { ident, address: cidr, why: errorText(error) });
      }
    }
  }

  async #allocate(request: LeaseRequest, subnet: string): Promise<string> {
    const { requests } = this.#allocation();
    return leaseText(await requests.allocate(request.ident, this.#subnet(subnet), waitOptions(request)));
  }

  async #claim(request: LeaseRequest, cidr: string): Promise<string> {
    const route = await overlappingRoute(cidr, this.#bridge).catch(() => undefined);
    if (route !== undefined) request.warn(`Network ${cidr} overlaps with existing route ${route} on host`);
    try {
      await this.#ipam?.requests.claim(request.ident, parseLease(cidr), waitOptions(request));
    } catch (error) {
      if (!(error instanceof WeaveError)) throw error;
      throw new WeaveError(error.code, `${request.claimPrefix}${error.message}`, { cause: error, next: error.next });
    }
    const { subnet, prefix } = parseCidr(cidr);
    if (prefix < 31 && cidr === subnet)
      request.warn(
        `Note: ${parseCidr(cidr).address} is the network address of ${subnet}; some programs treat it as a broadcast address`,
      );
    return cidr;
  }

  #allocation(): AttachmentIpam {
    if (this.#ipam !== undefined) return this.#ipam;
    throw new WeaveError("WEAVE_IPAM", "IP address allocation must be enabled to use 'net:'");
  }

  #subnet(text: string): Subnet {
    return text === "" ? this.#allocation().defaultSubnet : parseSubnet(text);
  }
}

const waitOptions = ({ isContainer, timeoutMs, signal }: LeaseRequest) => ({
  container: isContainer,
  signal,
  ...(timeoutMs === undefined ? {} : { timeoutMs }),
});

/** The error of a request whose client has disconnected. */
export const cancelled = (ident: string): WeaveError =>
  new WeaveError("WEAVE_CANCELLED", `${ident}: cancelled, as the client has gone away`);
