import { fold } from "#dns/name.js";
import type { DnsReport } from "#router/names/report.js";
import { statusLine } from "#router/service.js";
import { parseCniIdent } from "#src/linux/netns/cni-ident.js";

/** weaveDNS's paragraph of `weave status`. */
export function dnsStatusBlock({ Domain, Upstream, TTL, Entries, Problem }: DnsReport): string {
  return [
    statusLine("Service", "dns"),
    ...(Problem === "" ? [] : [statusLine("Problem", Problem.replaceAll("\n", " "))]),
    statusLine("Domain", Domain),
    statusLine("Upstream", Upstream.length > 0 ? Upstream.join(", ") : "none"),
    statusLine("TTL", TTL),
    statusLine("Entries", Entries.filter(({ Tombstone }) => Tombstone === 0).length),
  ].join("");
}

/** The lines of `weave status dns`: one for each name that is not deleted. */
export function dnsLines({ Domain, Entries }: DnsReport): string[] {
  return Entries.filter(({ Tombstone }) => Tombstone === 0).map(({ Hostname, Address, ContainerID, Origin, Away }) => {
    const name = fold(Hostname).endsWith(`.${Domain}`) ? Hostname.slice(0, -Domain.length - 1) : Hostname;
    const unreachable = Away ? " - unreachable!" : "";
    const container = parseCniIdent(ContainerID)?.container ?? ContainerID;
    return `${name.padEnd(12)} ${Address.padEnd(15)} ${container.slice(0, 12).padStart(12)} ${Origin}${unreachable}`;
  });
}
