import { fold, parseName } from "#dns/name.js";
import { ANY_HOST, isAddress } from "#src/net/family.js";
import { ipv6Reason, parseHostPort } from "#src/net/host-port.js";

export interface DnsOptions {
  /** The domain in folded case, with a final dot. */
  readonly domain: string;
  /** Undefined: port 53 at the engine's bridge if it has an address, otherwise at all addresses. */
  readonly listen: { readonly host: string; readonly port: number } | undefined;
  /** Time to live of answers, in seconds. */
  readonly ttl: number;
  readonly resolvConf: string;
  /** Time limit for the answer of each upstream server, in milliseconds. */
  readonly fallbackTimeoutMs: number;
}

export const DNS_PORT = 53;
/** Maximum of `--dns-fallback-timeout`. */
export const MAX_FALLBACK_MS = 60_000;
const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000 };

/** Parses the DNS flags of `weave launch`; undefined with `--no-dns`. Each flag must be valid already. */
export function parseDnsOptions(flags: {
  readonly dns: boolean;
  readonly dnsDomain: string;
  readonly dnsListenAddress: string;
  readonly dnsTtl: number;
  readonly dnsFallbackTimeout: string;
  readonly resolvConf: string;
}): DnsOptions | undefined {
  if (!flags.dns) return undefined;
  return {
    domain: fold(parseName(flags.dnsDomain)),
    listen: flags.dnsListenAddress === "" ? undefined : parseDnsListen(flags.dnsListenAddress),
    ttl: flags.dnsTtl,
    resolvConf: flags.resolvConf,
    fallbackTimeoutMs: parseDuration(flags.dnsFallbackTimeout),
  };
}

/** Milliseconds of a duration such as `5s` or `500ms`, at most {@link MAX_FALLBACK_MS}. @throws RangeError */
export function parseDuration(text: string): number {
  const match = /^(\d{1,6})(ms|s|m)$/.exec(text);
  const duration = match === null ? 0 : Number(match[1]) * UNITS[match[2]];
  if (duration > 0 && duration <= MAX_FALLBACK_MS) return duration;
  throw new RangeError(`no duration: ${text}`);
}

/** Parses `[address][:port]`. @throws RangeError; its message is the reason, if one is known */
export function parseDnsListen(text: string): { host: string; port: number } {
  const { host, port = DNS_PORT } = parseHostPort(text) ?? {};
  if (host === undefined || (host !== "" && !isAddress(host))) throw new RangeError(ipv6Reason(text));
  return { host: host || ANY_HOST, port };
}
