import { ANY_HOST } from "#src/net/endpoint.js";
import { ipv6Reason, isHost, parseHostPort } from "#src/net/host-port.js";

/** Where the proxy listens. */
export type Listen = { readonly path: string } | { readonly host: string; readonly port: number };

/** `[tcp://][host]:port` or `[unix://]/path`. @throws Error with the reason */
export function parseListen(text: string): Listen {
  const path = /^(?:unix:\/\/)?(\/.+)$/.exec(text)?.[1];
  if (path !== undefined) return { path };
  if (text.startsWith("unix://")) throw new Error("unix sockets must be specified as an absolute path");
  const address = text.replace(/^tcp:\/\//, "");
  const { host, port } = parseHostPort(address) ?? {};
  if (host === undefined || port === undefined || (host !== "" && !isHost(host))) throw new Error(ipv6Reason(address));
  return { host: host || ANY_HOST, port };
}

export const listenText = (listen: Listen): string =>
  "path" in listen ? `unix://${listen.path}` : `tcp://${listen.host}:${listen.port}`;

/**
 * How a host name is made of a container's name. Go's patterns, as far as JavaScript has the same: `(?P<n>…)` and `$name`
 * are translated.
 */
export function parseHostname({
  hostnameMatch,
  hostnameReplacement,
}: {
  readonly hostnameMatch: string;
  readonly hostnameReplacement: string;
}): (name: string) => string {
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
