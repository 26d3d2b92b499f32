import { fold, inDomain, isReverse, reverseAddress } from "#dns/name.js";
import type { Nameserver } from "#dns/nameserver.js";
import { addressData, CLASS_IN, type DnsReply, nameData, type Query, RCODE, TYPE } from "#dns/packet.js";

/** The treatment of a query: a reply of this server, or forwarding to the servers that the host uses. */
export type Decision = { readonly do: "answer"; readonly reply: DnsReply } | { readonly do: "forward" };

const OPCODE_MASK = 0x7800;

/**
 * Decides how a query is treated, by the rules of Weave Net: names in the domain, single labels and addresses of known names are
 * answered; all other queries are forwarded.
 *
 * @param ttl of the answers, in seconds
 */
export function decide(query: Query, names: Pick<Nameserver, "domain" | "lookup" | "reverse">, ttl: number): Decision {
  const answer = (
    rcode: number,
    answers: readonly Uint8Array[] = [],
    authoritative = rcode === RCODE.NOERROR,
  ): Decision => ({
    do: "answer",
    reply: { rcode, authoritative, answers, ttl },
  });
  if (query.flags & OPCODE_MASK) return answer(RCODE.NOTIMP, [], false);
  if (query.questions !== 1) return answer(RCODE.NXDOMAIN, [], false);
  const name = fold(query.name);
  if (isReverse(name)) {
    if (query.type !== TYPE.PTR) return answer(RCODE.NXDOMAIN);
    const address = reverseAddress(name);
    const hostname = address === undefined ? undefined : names.reverse(address);
    return hostname === undefined ? { do: "forward" } : answer(RCODE.NOERROR, [nameData(hostname)]);
  }
  const singleLabel = name !== "." && name.indexOf(".") === name.length - 1;
  if (!singleLabel && !inDomain(name, names.domain)) return { do: "forward" };
  if (query.class !== CLASS_IN && query.class !== TYPE.ANY) return answer(RCODE.NOERROR);
  const addresses = names.lookup(singleLabel ? name + names.domain : name);
  if (addresses === undefined) return answer(name === names.domain ? RCODE.NOERROR : RCODE.NXDOMAIN);
  // A known name without records of that type: not NXDOMAIN, which resolvers would cache for all types (RFC 2308).
  return answer(RCODE.NOERROR, query.type === TYPE.A || query.type === TYPE.ANY ? addresses.map(addressData) : []);
}
