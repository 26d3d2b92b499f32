import { call, mustCall } from "#cli/support/client.js";
import { Exit } from "#cli/support/exit.js";
import { parseName } from "#dns/name.js";
import { addressOfCidr } from "#src/address.js";

/** The domain of the running router, with a dot at its end; undefined when DNS is off. */
async function routerDomain(): Promise<string | undefined> {
  const { status, body } = await call({ path: "/domain" });
  return status === 200 ? body : undefined;
}

/**
 * Completes a typed name: a name without a dot is in the router's domain.
 *
 * @throws WEAVE_DNS_NAME; Exit when weaveDNS is off
 */
export async function qualifiedName(name: string): Promise<string> {
  parseName(name);
  if (name.includes(".")) return name;
  const ours = await routerDomain();
  if (ours === undefined)
    throw new Exit(1, "weaveDNS is off on this host: a name has no effect\nLaunch without --no-dns.");
  return `${name}.${ours}`;
}

/**
 * Registers a name for addresses of a container.
 *
 * @param addresses with or without prefix length
 */
export async function register(ident: string, addresses: readonly string[], fqdn: string): Promise<void> {
  const form = new URLSearchParams({ fqdn });
  for (const address of addresses) await mustCall({ method: "PUT", path: pathOf(ident, address), form });
}

/** Removes a name of a container at some addresses, or without `fqdn` all its names there. Does nothing when weaveDNS is off. */
export async function unregister(ident: string, addresses: readonly string[], fqdn?: string): Promise<void> {
  const query = fqdn === undefined ? "" : `?${new URLSearchParams({ fqdn })}`;
  for (const address of addresses) {
    const { status, body } = await call({ method: "DELETE", path: `${pathOf(ident, address)}${query}` });
    if (status !== 204 && status !== 404) throw new Exit(1, body.trimEnd());
  }
}

/** API path of a holder's names at an address. */
const pathOf = (ident: string, address: string): string =>
  `/name/${encodeURIComponent(ident)}/${addressOfCidr(address)}`;
