import { fold, inDomain, parseName } from "#dns/name.js";
import type { Nameserver } from "#dns/nameserver.js";
import { isContainerId } from "#docker/engine/shapes.js";
import { parseCidr } from "#src/address.js";
import { WeaveError } from "#src/errors.js";
import type { Resources } from "#src/resources.js";

/** The name server of the router, as attachments use it. */
export type AttachmentNameserver = Pick<Nameserver, "domain" | "add" | "remove" | "namesOf" | "ownIdents">;

/** The names of attachments in weaveDNS. */
export class AttachmentNames {
  readonly #names: AttachmentNameserver | undefined;

  /** @param names undefined when weaveDNS is off */
  constructor(names: AttachmentNameserver | undefined) {
    this.#names = names;
  }

  /** Whether weaveDNS is on. */
  get areOn(): boolean {
    return this.#names !== undefined;
  }

  /**
   * Completes a name: one without a dot gets the domain of weaveDNS.
   *
   * @throws WEAVE_DNS_NAME for an invalid name, or when weaveDNS is off and its domain is needed
   */
  qualified(name: string): string {
    parseName(name);
    if (name.includes(".")) return name;
    if (this.#names === undefined) throw dnsIsOff();
    return `${name}.${this.#names.domain}`;
  }

  /**
   * Completes a container's own name: also one with dots gets the domain of weaveDNS, unless it is in it.
   *
   * @returns undefined when weaveDNS is off, and for a name that is no host name
   */
  ownName(name: string): string | undefined {
    if (this.#names === undefined) return undefined;
    const { domain } = this.#names;
    try {
      const text = parseName(name);
      return inDomain(fold(text), domain) ? text : parseName(`${text}${domain}`);
    } catch {
      return undefined;
    }
  }

  /**
   * Registers a name for addresses.
   *
   * @param addresses in CIDR notation
   * @param required true: it is an error when weaveDNS is off
   * @param undo receives steps that remove new names
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

  /** Removes all names of a holder. @throws WEAVE_STORE */
  unregisterAll(ident: string): void {
    this.#names?.remove({ ident });
  }

  /** Removes all names of a holder, and of containers in its namespace, at its given addresses. @throws WEAVE_STORE */
  unregister(ident: string, addresses: readonly string[]): void {
    const idents = [...(this.#names?.ownIdents ?? [])].filter((each) => each === ident || isContainerId(each));
    for (const cidr of addresses)
      for (const each of idents) this.#names?.remove({ ident: each, address: parseCidr(cidr).address });
  }
}

const dnsIsOff = (): WeaveError =>
  new WeaveError("WEAVE_DNS_NAME", "weaveDNS is off on this host: a name has no use", {
    next: "Launch without --no-dns.",
  });
