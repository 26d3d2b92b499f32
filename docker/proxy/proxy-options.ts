import type { ServerAddress } from "#src/http/listen.js";
import { ANY_HOST } from "#src/net/endpoint.js";
import { ipv6Reason, isHost, parseHostPort } from "#src/net/host-port.js";

/** Where the proxy listens, and how. */
export interface ProxyOptions {
  /** Addresses as {@link parseListen} reads them. */
  readonly listen: readonly string[];
  /** TLS of the TCP listeners; "verify": clients must show a certificate of {@link tlsCa}. */
  readonly tls: "off" | "on" | "verify";
  /** PEM files. */
  readonly tlsCa: string;
  readonly tlsCert: string;
  readonly tlsKey: string;
  /** Whether TCP listeners may serve everyone who can connect. */
  readonly insecureProxy: boolean;
}

/** `[tcp://][host]:port` or `[unix://]/path`. @throws Error with the reason */
export function parseListen(text: string): ServerAddress {
  const path = /^(?:unix:\/\/)?(\/.+)$/.exec(text)?.[1];
  if (path !== undefined) return { path };
  if (text.startsWith("unix://")) throw new Error("unix sockets must be specified as an absolute path");
  const address = text.replace(/^tcp:\/\//, "");
  const { host, port } = parseHostPort(address) ?? {};
  if (host === undefined || port === undefined || (host !== "" && !isHost(host))) throw new Error(ipv6Reason(address));
  return { host: host || ANY_HOST, port };
}

/** As Docker's clients write an address. */
export const listenText = (address: ServerAddress): string =>
  "path" in address ? `unix://${address.path}` : `tcp://${address.host}:${address.port}`;

/** How a container's name becomes its host name. */
export interface HostnamePattern {
  readonly hostnameMatch: string;
  readonly hostnameReplacement: string;
}

/**
 * Reads Go's patterns and replacements, as far as JavaScript has the same: `(?P<n>…)` and `$name` are translated.
 *
 * @throws SyntaxError
 */
export function parseHostname({ hostnameMatch, hostnameReplacement }: HostnamePattern): (name: string) => string {
  const pattern = parseMatch(hostnameMatch);
  // ${1}, ${name}, $name and $1 of Go; the longest run of word characters is the name.
  const replacement = hostnameReplacement.replace(/\$(?:\{(\w+)\}|(\w+)|\$)/g, (all, braced, bare) => {
    const group = braced ?? bare;
    if (group === undefined) return all;
    return /^\d+$/.test(group) ? `$${group}` : `$<${group}>`;
  });
  return (name) => name.replace(pattern, replacement);
}

/** A pattern of Go's, as far as JavaScript has the same. @throws SyntaxError */
export const parseMatch = (pattern: string): RegExp => new RegExp(pattern.replaceAll("(?P<", "(?<"), "gu");
