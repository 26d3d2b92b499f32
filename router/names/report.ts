import { fold } from "#dns/name.js";
import type { WeaveDns } from "#router/names/weave-dns.js";

/** weaveDNS as the report shows it: the original's fields, then ours. */
export interface DnsReport {
  readonly Domain: string;
  readonly Upstream: readonly string[];
  readonly Address: string;
  readonly TTL: number;
  /** Tombstones too; Tombstone is a Unix time, 0 for the living. */
  readonly Entries: readonly {
    readonly Hostname: string;
    readonly Origin: string;
    readonly ContainerID: string;
    readonly Address: string;
    readonly Version: number;
    readonly Tombstone: number;
    /** Its peer is out of reach: answered only where there is no other. */
    readonly Away: boolean;
  }[];
  /** Why nothing is answered, if that is so. */
  readonly Problem: string;
  readonly Queries: Readonly<Record<string, number>>;
}

export function dnsReport(dns: WeaveDns): DnsReport {
  const { names, upstream, options, server } = dns;
  return {
    Domain: names.domain,
    Upstream: upstream.servers,
    Address: dns.listening,
    TTL: options.ttl,
    Entries: names.records.map(({ hostname, origin, ident, address, version, tombstone }) => ({
      Hostname: hostname,
      Origin: origin,
      ContainerID: ident,
      Address: address,
      Version: version,
      Tombstone: tombstone,
      Away: names.isAway(origin),
    })),
    Problem: dns.problem ?? "",
    Queries: { ...server?.counts },
  };
}

/** The text of `weave status dns`. */
export function dnsText({ Domain, Entries }: DnsReport): string {
  return Entries.filter(({ Tombstone }) => Tombstone === 0)
    .map(({ Hostname, Address, ContainerID, Origin, Away }) => {
      const name = fold(Hostname).endsWith(`.${Domain}`) ? Hostname.slice(0, -Domain.length - 1) : Hostname;
      const away = Away ? " - unreachable!" : "";
      return `${name.padEnd(12)} ${Address.padEnd(15)} ${ContainerID.slice(0, 12).padStart(12)} ${Origin}${away}\n`;
    })
    .join("");
}
