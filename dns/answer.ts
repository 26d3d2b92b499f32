import { fold, inDomain, isReverse, reverseAddress } from "#dns/name.js";
import type { Nameserver } from "#dns/nameserver.js";
import { addressData, CLASS_IN, nameData, type Query, RCODE, type Reply, TYPE } from "#dns/packet.js";

/** What is to be done about a query: answered by us, or asked of the servers that the host uses. */
export type Decision = { readonly do: "answer"; readonly reply: Reply } | { readonly do: "forward" };

const OPCODE_MASK = 0x7800;

/**
 * Decides about a query, as the original does: our domain and single labels are ours, and so are addresses that we know;
 * all else is for others.
 *
 * @param ttl of our answers, in seconds
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
  // The name is there, without records of that type: not "no such name", which resolvers would keep (RFC 2308).
  return answer(RCODE.NOERROR, query.type === TYPE.A || query.type === TYPE.ANY ? addresses.map(addressData) : []);
}
