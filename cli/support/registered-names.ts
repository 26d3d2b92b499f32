import { type Call, call, mustCall } from "#cli/support/client.js";
import { Exit } from "#cli/support/exit.js";
import { parseName } from "#dns/name.js";

/** The domain of the running router, with a dot at its end; undefined when DNS is off. */
export async function domain(): Promise<string | undefined> {
  const { status, body } = await call({ path: "/domain" });
  return status === 200 ? body : undefined;
}

/** A name as users give it: one without a dot is in our domain. @throws WEAVE_DNS_NAME; Exit when DNS is off */
export async function qualified(name: string): Promise<string> {
  parseName(name);
  if (name.includes(".")) return name;
  const ours = await domain();
  if (ours === undefined)
    throw new Exit(1, "weaveDNS is off on this host: a name has no use\nLaunch without --no-dns.");
  return `${name}.${ours}`;
}

/**
 * Gives a name to addresses of a container.
 *
 * @param addresses with or without prefix length
 * @param must whether DNS that is off is an error
 */
export async function register(ident: string, addresses: readonly string[], fqdn: string, must = true): Promise<void> {
  const form = new URLSearchParams({ fqdn });
  for (const address of addresses) {
    const call = { method: "PUT", path: pathOf(ident, address), form };
    if (must) await mustCall(call);
    else await mayCall(call);
  }
}

/** Takes names of a container away: one, or (without `fqdn`) all, at those addresses. DNS that is off has none. */
export async function unregister(ident: string, addresses: readonly string[], fqdn?: string): Promise<void> {
  const query = fqdn === undefined ? "" : `?${new URLSearchParams({ fqdn })}`;
  for (const address of addresses) {
    await mayCall({ method: "DELETE", path: `${pathOf(ident, address)}${query}` });
  }
}

/** A call that DNS which is off need not answer. */
async function mayCall(options: Call): Promise<void> {
  const { status, body } = await call(options);
  if (status !== 204 && status !== 404) throw new Exit(1, body.trimEnd());
}

const pathOf = (ident: string, address: string): string =>
  `/name/${encodeURIComponent(ident)}/${address.split("/")[0]}`;
