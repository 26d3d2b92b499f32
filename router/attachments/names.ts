import { fold, parseName } from "#dns/name.js";
import type { Nameserver } from "#dns/nameserver.js";
import { parseCidr } from "#src/address.js";
import { WeaveError } from "#src/errors.js";
import type { Resources } from "#src/resources.js";

/** The name server of the router, as attachments use it. */
export type AttachmentNameserver = Pick<Nameserver, "domain" | "add" | "remove" | "namesOf">;

/** The names of attachments in weaveDNS. */
export class AttachmentNames {
  readonly #names: AttachmentNameserver | undefined;

  /** @param names undefined when weaveDNS is off */
  constructor(names: AttachmentNameserver | undefined) {
    this.#names = names;
  }

  /**
   * A name as users give it, complete: one without a dot is in the domain of this network.
   *
   * @throws WEAVE_DNS_NAME, also when weaveDNS is off and cannot say the domain
   */
  qualified(name: string): string {
    parseName(name);
    if (name.includes(".")) return name;
    if (this.#names === undefined) throw dnsIsOff();
    return `${name}.${this.#names.domain}`;
  }

  /**
   * Gives a name to addresses.
   *
   * @param addresses in CIDR notation
   * @param required whether it is an error that weaveDNS is off
   * @param undo receives what takes new names away
   * @throws WEAVE_DNS_NAME, WEAVE_STORE
   */
  register(
    { ident, fqdn, required }: { readonly ident: string; readonly fqdn: string; readonly required: boolean },
    addresses: readonly string[],
    undo: Resources,
  ): void {
    const names = this.#names;
    if (names === undefined) {
      if (required) throw dnsIsOff();
      return;
    }
    for (const cidr of addresses) {
      const { address } = parseCidr(cidr);
      const isKnown = names
        .namesOf(ident)
        .some((record) => record.address === address && fold(record.hostname) === fold(parseName(fqdn)));
      if (names.add(ident, address, fqdn) && !isKnown)
        undo.add(`name ${fqdn}`, () => void names.remove({ ident, address, hostname: fqdn }));
    }
  }

  /** Takes all names of a holder at some addresses away. @throws WEAVE_STORE */
  unregister(ident: string, addresses: readonly string[]): void {
    for (const cidr of addresses) this.#names?.remove({ ident, address: parseCidr(cidr).address });
  }
}

const dnsIsOff = (): WeaveError =>
  new WeaveError("WEAVE_DNS_NAME", "weaveDNS is off on this host: a name has no use", {
    next: "Launch without --no-dns.",
  });
