import { z } from "zod/mini";
import { parseEndpoint } from "#docker/engine/endpoint.js";
import { invalidValue } from "#src/errors.js";

/** How a router faces Docker; from the flags of `weave launch`. */
export const dockerOptionsShape = z.object({
  /** Where the engine is; "" for no Docker. */
  api: z.string(),
  /** The engine's own bridge: containers on it ask weaveDNS at its address. */
  bridge: z.string().check(z.regex(/^[A-Za-z][\w.-]{0,14}$/)),
  plugin: z.boolean(),
  pluginSocket: z.string().check(z.startsWith("/")),
  meshSocket: z.string().check(z.startsWith("/")),
  proxy: z.boolean(),
  /** Where the proxy listens: `unix:///path` or `tcp://[host]:port`. */
  listen: z.array(z.string()),
  hostnameFromLabel: z.string(),
  hostnameMatch: z.string(),
  hostnameReplacement: z.string(),
  rewriteInspect: z.boolean(),
  /** Containers without WEAVE_CIDR get an address too. */
  defaultIpalloc: z.boolean(),
  rewriteHosts: z.boolean(),
  /** Containers are told to ask weaveDNS. */
  dns: z.boolean(),
  multicastRoute: z.boolean(),
  /** Of the proxy's TCP listeners. */
  tls: z.enum(["off", "on", "verify"]),
  tlsCa: z.string(),
  tlsCert: z.string(),
  tlsKey: z.string(),
});

export type DockerOptions = z.infer<typeof dockerOptionsShape>;

/** What the types cannot say. @throws WEAVE_FLAG_INVALID */
export function checkDockerOptions(options: DockerOptions): void {
  if (options.api === "") return;
  parseEndpoint(options.api);
  for (const listen of options.listen) parseListen(listen);
  parseHostname(options);
}

export type Listen = { readonly path: string } | { readonly host: string; readonly port: number };

/** `[tcp://][host]:port` or `[unix://]/path`. @throws WEAVE_FLAG_INVALID */
export function parseListen(text: string): Listen {
  const path = /^(?:unix:\/\/)?(\/.+)$/.exec(text)?.[1];
  if (path !== undefined) return { path };
  if (text.startsWith("unix://"))
    throw invalidValue("-H", text, "an absolute path: unix sockets must be specified as such");
  const match = /^(?:tcp:\/\/)?([\w.-]*):(\d{1,5})$/.exec(text);
  if (match === null || Number(match[2]) > 65_535)
    throw invalidValue("-H", text, "[tcp://][host]:port or [unix://]/path");
  return { host: match[1] || "0.0.0.0", port: Number(match[2]) };
}

export const listenText = (listen: Listen): string =>
  "path" in listen ? `unix://${listen.path}` : `tcp://${listen.host}:${listen.port}`;

/**
 * How a host name is made of a container's name. Go's patterns, as far as JavaScript has the same: `(?P<n>…)` and `$name`
 * are translated.
 *
 * @throws WEAVE_FLAG_INVALID
 */
export function parseHostname({
  hostnameMatch,
  hostnameReplacement,
}: Pick<DockerOptions, "hostnameMatch" | "hostnameReplacement">): (name: string) => string {
  let pattern: RegExp;
  try {
    pattern = new RegExp(hostnameMatch.replaceAll("(?P<", "(?<"), "gu");
  } catch {
    throw invalidValue("--hostname-match", hostnameMatch, "a regular expression");
  }
  // ${1}, ${name}, $name and $1 of Go; the longest run of word characters is the name.
  const replacement = hostnameReplacement.replace(/\$(?:\{(\w+)\}|(\w+)|\$)/g, (all, braced, bare) => {
    const group = braced ?? bare;
    if (group === undefined) return all;
    return /^\d+$/.test(group) ? `$${group}` : `$<${group}>`;
  });
  return (name) => name.replace(pattern, replacement);
}
