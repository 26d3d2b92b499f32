import type { DockerDeps } from "#docker/deps.js";
import type { CreateSettings } from "#docker/proxy/create-rewrite.js";
import { type HostnamePattern, parseHostname } from "#docker/proxy/proxy-options.js";

/** Flags of `weave launch` about the containers that the proxy creates. */
export interface CreateOptions extends HostnamePattern {
  /** Whether a container without WEAVE_CIDR gets an address. */
  readonly defaultIpalloc: boolean;
  /** Whether containers use weaveDNS. */
  readonly dns: boolean;
  readonly hostnameFromLabel: string;
}

/** Combines flags and services to the proxy's settings. @returns a function for the current settings: weaveDNS's address may change */
export function createSettings(
  helper: string,
  options: CreateOptions,
  { ipam, dns }: Pick<DockerDeps, "ipam" | "dns">,
): () => Promise<CreateSettings> {
  const toHostname = parseHostname(options);
  return async () => ({
    helper,
    defaultIpalloc: options.defaultIpalloc && ipam !== undefined,
    dns: dns && options.dns ? { address: await dns.address(), domain: dns.names.domain } : undefined,
    hostnameFromLabel: options.hostnameFromLabel,
    toHostname,
  });
}
