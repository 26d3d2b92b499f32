import { existsSync, readFileSync } from "node:fs";
import { type ClientTls, clientTls } from "#docker/engine/client-tls.js";
import { WeaveError } from "#src/errors.js";
import { hostPortText, ipv6Reason, parseHostPort } from "#src/net/host-port.js";

/** Address of a Docker engine. */
export type EngineAddress =
  | { readonly socketPath: string }
  | { readonly host: string; readonly port: number; readonly tls?: TlsFiles };

/** Contents of the PEM files that Docker's client uses, as options of `tls.connect`. */
export interface TlsFiles {
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
  /** Whether the engine's certificate is checked. */
  readonly rejectUnauthorized: boolean;
}

export const DEFAULT_ENGINE = "unix:///var/run/docker.sock";
/** Docker's registered ports (IANA), without TLS and with it. */
const PORT = 2375;
const TLS_PORT = 2376;

/**
 * Parses an engine's address as in `DOCKER_HOST` and `--docker-api`: `unix:///path` or `tcp://host[:port]`. For TCP, the settings of
 * Docker's client decide about TLS ({@link clientTls}).
 *
 * @throws WEAVE_FLAG_INVALID
 */
export function parseEngineAddress(text: string, env: NodeJS.ProcessEnv = {}): EngineAddress {
  const path = /^(?:unix:\/\/)?(\/.+)$/.exec(text)?.[1];
  if (path !== undefined) return { socketPath: path };
  const address = /^tcp:\/\/([^/]+)\/?$/.exec(text)?.[1] ?? "";
  const where = parseHostPort(address);
  const tls = clientTls(env);
  if (where === undefined || !/^[\w.-]+$/.test(where.host)) {
    const reason = ipv6Reason(address);
    const why = reason === undefined ? "" : `: ${reason}`;
    throw new WeaveError("WEAVE_FLAG_INVALID", `'${text.slice(0, 200)}' is no address of a Docker engine${why}`, {
      next: "Give unix:///var/run/docker.sock or tcp://host:port, by --docker-api or DOCKER_HOST.",
    });
  }
  return { host: where.host, port: where.port ?? (tls ? TLS_PORT : PORT), ...(tls ? { tls: readTlsFiles(tls) } : {}) };
}

/** Without verification the files may be missing, as for Docker's client. @throws WEAVE_FLAG_INVALID with the file that cannot be read */
function readTlsFiles({ verify, ca, cert, key }: ClientTls): TlsFiles {
  const pair = () => ({ cert: readPem(cert), key: readPem(key) });
  if (verify) return { ca: readPem(ca), ...pair(), rejectUnauthorized: true };
  return { ...(existsSync(cert) && existsSync(key) ? pair() : {}), rejectUnauthorized: false };
}

/** Reads a PEM file. @throws WEAVE_FLAG_INVALID */
export function readPem(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new WeaveError("WEAVE_FLAG_INVALID", `cannot read ${path}, which TLS needs: ${(cause as Error).message}`, {
      cause,
      next: "Give the files by --tlscacert, --tlscert and --tlskey, or their folder by DOCKER_CERT_PATH.",
    });
  }
}

/** Writes an address as `DOCKER_HOST` has it. */
export function engineAddressText(address: EngineAddress): string {
  return "socketPath" in address ? `unix://${address.socketPath}` : `tcp://${hostPortText(address.host, address.port)}`;
}
