import type { EngineAddress } from "#docker/engine/engine-address.js";
import type { DockerOptions } from "#docker/flags.js";
import { parseListen } from "#docker/proxy/proxy-options.js";
import { WeaveError } from "#src/errors.js";

/** Who may connect is root on this host: Docker's API gives containers all of it. */
export const INSECURE = "--insecure-proxy";

/**
 * Listeners of the proxy that serve everyone who reaches them: from other hosts, or without the certificate that the engine asks its
 * own clients for.
 */
export function openListeners(
  { listen, tls }: Pick<DockerOptions, "listen" | "tls">,
  engine: EngineAddress,
): readonly string[] {
  if (tls === "verify") return [];
  const asksForCertificates = "host" in engine && engine.tls?.cert !== undefined;
  return listen.filter((text) => {
    const where = parseListen(text);
    return "host" in where && (asksForCertificates || !isLoopback(where.host));
  });
}

export const isLoopback = (host: string): boolean => host === "localhost" || /^127(?:\.\d{1,3}){3}$/.test(host);

/** @throws WEAVE_FLAG_INVALID for a listener that is open and was not said to be */
export function checkListeners(
  options: Pick<DockerOptions, "listen" | "tls" | "proxy" | "insecureProxy">,
  engine: EngineAddress,
): void {
  if (!options.proxy || options.insecureProxy) return;
  const [open] = openListeners(options, engine);
  if (open === undefined) return;
  throw new WeaveError(
    "WEAVE_FLAG_INVALID",
    `-H ${open}: the proxy would serve Docker's API, and with it root on this host, to everyone who can connect there`,
    {
      next: `Add --tlsverify (with --tlscacert, --tlscert and --tlskey), or listen on a Unix socket or on 127.0.0.1; ${INSECURE} opens it all the same.`,
    },
  );
}
