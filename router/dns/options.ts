import { fold, parseName } from "#dns/name.js";
import { isIpv4 } from "#src/address.js";
import { invalidValue } from "#src/errors.js";

export interface DnsOptions {
  /** Folded, with a dot at its end. */
  readonly domain: string;
  /** Undefined: chosen by what the host has. */
  readonly listen: { readonly host: string; readonly port: number } | undefined;
  /** Seconds. */
  readonly ttl: number;
  readonly resolvConf: string;
  /** For each server that is asked, in milliseconds. */
  readonly fallbackTimeoutMs: number;
}

export const DNS_PORT = 53;
const MAX_TTL_S = 7 * 86_400;
const MAX_FALLBACK_MS = 60_000;
const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000 };

/**
 * Reads the DNS flags of `weave launch`; undefined with `--no-dns`.
 *
 * @throws WEAVE_FLAG_INVALID, WEAVE_DNS_NAME
 */
export function parseDnsOptions(flags: {
  readonly dns: boolean;
  readonly dnsDomain: string;
  readonly dnsListenAddress: string;
  readonly dnsTtl: number;
  readonly dnsFallbackTimeout: string;
  readonly resolvConf: string;
}): DnsOptions | undefined {
  if (!flags.dns) return undefined;
  if (!(flags.dnsTtl >= 0 && flags.dnsTtl <= MAX_TTL_S))
    throw invalidValue("--dns-ttl", flags.dnsTtl, `seconds from 0 to ${MAX_TTL_S}`);
  const duration = /^(\d{1,6})(ms|s|m)$/.exec(flags.dnsFallbackTimeout);
  const fallbackTimeoutMs = duration === null ? 0 : Number(duration[1]) * UNITS[duration[2]];
  if (!(fallbackTimeoutMs > 0 && fallbackTimeoutMs <= MAX_FALLBACK_MS))
    throw invalidValue(
      "--dns-fallback-timeout",
      flags.dnsFallbackTimeout,
      "a duration such as 5s or 500ms, at most 60s",
    );
  return {
    domain: fold(parseName(flags.dnsDomain)),
    listen: flags.dnsListenAddress === "" ? undefined : parseListen(flags.dnsListenAddress),
    ttl: flags.dnsTtl,
    resolvConf: flags.resolvConf,
    fallbackTimeoutMs,
  };
}

function parseListen(text: string): { host: string; port: number } {
  const match = /^([\d.]*)(?::(\d{1,5}))?$/.exec(text);
  const host = match?.[1] || "0.0.0.0";
  const port = Number(match?.[2] ?? DNS_PORT);
  if (match === null || !isIpv4(host) || port > 65_535)
    throw invalidValue("--dns-listen-address", text, "an IPv4 address with a port, such as 172.17.0.1:53");
  return { host, port };
}
