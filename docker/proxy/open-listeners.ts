import type { EngineAddress } from "#docker/engine/engine-address.js";
import { type ProxyOptions, parseListen } from "#docker/proxy/proxy-options.js";
import { WeaveError } from "#src/errors.js";

/** Flag that allows open listeners. A client of Docker's API is root on this host. */
export const INSECURE = "--insecure-proxy";

/**
 * Returns the listeners of the proxy that serve any client that can connect: one on another host, or one without the certificate that the
 * engine requires of its own clients.
 */
export function openListeners(
  { listen, tls }: Pick<ProxyOptions, "listen" | "tls">,
  engine: EngineAddress,
): readonly string[] {
  if (tls === "verify") return [];
  const requiresCertificates = "host" in engine && engine.tls?.cert !== undefined;
  return listen.filter((text) => {
    const address = parseListen(text);
    return "host" in address && (requiresCertificates || !isLoopback(address.host));
  });
}

/** Whether a host name or IPv4 address is of the loopback interface. */
export const isLoopback = (host: string): boolean => host === "localhost" || /^127(?:\.\d{1,3}){3}$/.test(host);

/** Checks the listeners' addresses. @throws WEAVE_FLAG_INVALID for an open listener without {@link INSECURE} */
export function checkListeners(
  options: Pick<ProxyOptions, "listen" | "tls" | "insecureProxy"> & { readonly proxy: boolean },
  engine: EngineAddress,
): void {
  if (!options.proxy || options.insecureProxy) return;
  const [open] = openListeners(options, engine);
  if (open === undefined) return;
  throw new WeaveError(
    "WEAVE_FLAG_INVALID",
    `-H ${open}: the proxy would serve Docker's API, and with it root on this host, to any client that can connect there`,
    {
      next: `Add --tlsverify (with --tlscacert, --tlscert and --tlskey), or listen on a Unix socket or on 127.0.0.1; ${INSECURE} opens it nevertheless.`,
    },
  );
}
