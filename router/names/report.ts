import type { WeaveDns } from "#router/names/weave-dns.js";

/** The section `DNS` of the report: the fields of Weave Net, then further ones. */
export interface DnsReport {
  readonly Domain: string;
  readonly Upstream: readonly string[];
  readonly Address: string;
  readonly TTL: number;
  /** All records, tombstones included. `Tombstone` is the Unix time of the deletion; 0: the record is not deleted. */
  readonly Entries: readonly {
    readonly Hostname: string;
    readonly Origin: string;
    readonly ContainerID: string;
    readonly Address: string;
    readonly Version: number;
    readonly Tombstone: number;
    /** True: the record's peer is unreachable, and the record is an answer only if there is no other. */
    readonly Away: boolean;
  }[];
  /** The reason why the server does not answer; "" when it does. */
  readonly Problem: string;
  readonly Queries: Readonly<Record<string, number>>;
}

export function dnsReport(dns: WeaveDns): DnsReport {
  const { names } = dns;
  return {
    Domain: names.domain,
    Upstream: dns.upstreamServers,
    Address: dns.listening,
    TTL: dns.ttl,
    Entries: names.records.map(({ hostname, origin, ident, address, version, tombstone }) => ({
      Hostname: hostname,
      Origin: origin,
      ContainerID: ident,
      Address: address,
      Version: version,
      Tombstone: tombstone,
      Away: names.isUnreachable(origin),
    })),
    Problem: dns.problem ?? "",
    Queries: { ...dns.queryCounts },
  };
}
