import type { ServerAddress } from "#src/http/listen.js";
import { ANY_HOST } from "#src/net/family.js";
import { hostPortText, ipv6Reason, isHost, parseHostPort } from "#src/net/host-port.js";

/** Options of the proxy's listeners. */
export interface ProxyOptions {
  /** Addresses as {@link parseListen} reads them. */
  readonly listen: readonly string[];
  /** TLS of the TCP listeners; "verify": clients must have a certificate of {@link tlsCa}. */
  readonly tls: "off" | "on" | "verify";
  /** Path of a PEM file, as the next two. */
  readonly tlsCa: string;
  readonly tlsCert: string;
  readonly tlsKey: string;
  /** Whether TCP listeners may serve any client that can connect. */
  readonly insecureProxy: boolean;
}

/** Parses the address of a listener: `[tcp://][host]:port` or `[unix://]/path`. @throws Error with the reason */
export function parseListen(text: string): ServerAddress {
  const path = /^(?:unix:\/\/)?(\/.+)$/.exec(text)?.[1];
  if (path !== undefined) return { path };
  if (text.startsWith("unix://")) throw new Error("unix sockets must be specified as an absolute path");
  const address = text.replace(/^tcp:\/\//, "");
  const { host, port } = parseHostPort(address) ?? {};
  if (host === undefined || port === undefined || (host !== "" && !isHost(host))) throw new Error(ipv6Reason(address));
  return { host: host || ANY_HOST, port };
}

/** Writes an address as in `DOCKER_HOST`. */
export const listenText = (address: ServerAddress): string =>
  "path" in address ? `unix://${address.path}` : `tcp://${hostPortText(address.host, address.port)}`;

/** Pattern and replacement that make a host name from a container's name, in the syntax of Go's regexp. */
export interface HostnamePattern {
  readonly hostnameMatch: string;
  readonly hostnameReplacement: string;
}

/**
 * Compiles a pattern and its replacement. `(?P<n>…)` and `$name` of Go are translated; syntax that JavaScript lacks is an error.
 *
 * @returns the function that makes a host name
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

/** Compiles a regular expression in Go's syntax, as far as JavaScript has the same. @throws SyntaxError */
export const parseMatch = (pattern: string): RegExp => new RegExp(pattern.replaceAll("(?P<", "(?<"), "gu");
