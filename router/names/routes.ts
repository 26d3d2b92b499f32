import type { NameMatch } from "#dns/nameserver.js";
import type { WeaveDns } from "#router/names/weave-dns.js";
import { NO_CONTENT, type Request, type Route, route } from "#router/route.js";
import { isIpv4 } from "#src/address.js";
import { WeaveError } from "#src/errors.js";
import { type Answer, jsonAnswer } from "#src/http/answer.js";
import { isIdent } from "#src/ident.js";
import { hostPortText } from "#src/net/host-port.js";

/** A request to remove names: those of a container, of a container at an address, or all. */
type Removal = Pick<Request, "form"> & { readonly params: { readonly ident?: string; readonly address?: string } };

/** The routes of weaveDNS. */
export function nameRoutes(dns: WeaveDns): Route[] {
  const { names } = dns;
  const remove = ({ params, form }: Removal): Answer => {
    const { ident, address } = params;
    const hostname = form.get("fqdn") ?? undefined;
    const match: NameMatch = {
      ...(ident === undefined ? {} : { ident }),
      ...(address === undefined ? {} : { address: checkAddress(address) }),
      ...(hostname === undefined ? {} : { hostname }),
    };
    names.remove(match);
    return NO_CONTENT;
  };
  return [
    route("GET /domain", () => ({ body: names.domain })),
    route("GET /dns-address", async () => ({ body: (await dns.address()).host })),
    route("GET /dns-address-port", async () => {
      const { host, port } = await dns.address();
      return { body: hostPortText(host, port) };
    }),
    route("GET /name", () =>
      jsonAnswer(
        names.records.map(({ ident, origin, address, hostname, version, tombstone }) => ({
          ContainerID: ident,
          // Weave Net's API represents a peer name as a number.
          Origin: Number.parseInt(origin.replaceAll(":", ""), 16),
          Addr: address,
          Hostname: hostname,
          Version: version,
          Tombstone: tombstone,
        })),
      ),
    ),
    route("PUT /name/:ident/:address", ({ params: { ident, address }, form }) => {
      const fqdn = form.get("fqdn");
      if (fqdn === null) throw new WeaveError("WEAVE_DNS_NAME", "no name was given: add fqdn=NAME");
      names.add(checkIdent(ident), checkAddress(address), fqdn);
      return NO_CONTENT;
    }),
    route("DELETE /name", remove),
    route("DELETE /name/:ident", remove),
    route("DELETE /name/:ident/:address", remove),
  ];
}

function checkAddress(text: string): string {
  if (!isIpv4(text)) throw new WeaveError("WEAVE_ADDRESS_INVALID", `invalid IP Address: ${text.slice(0, 64)}`);
  return text;
}

function checkIdent(text: string): string {
  if (!isIdent(text))
    throw new WeaveError("WEAVE_DNS_NAME", `invalid container id: ${JSON.stringify(text.slice(0, 64))}`);
  return text;
}
