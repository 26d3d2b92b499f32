import { readFileSync } from "node:fs";
import { join } from "node:path";
import { WeaveError } from "#src/errors.js";

/** Where a Docker engine answers. */
export type Endpoint =
  | { readonly socketPath: string }
  | { readonly host: string; readonly port: number; readonly tls?: TlsFiles };

/** PEM, as read from the files that Docker's own client uses. */
export interface TlsFiles {
  readonly ca: Buffer;
  readonly cert: Buffer;
  readonly key: Buffer;
}

export const DEFAULT_ENGINE = "unix:///var/run/docker.sock";
/** Docker's registered ports (IANA). */
const PORT = 2375;
const PORT_TLS = 2376;

/**
 * Reads what `DOCKER_HOST` and `--docker-api` take: `unix:///path`, `tcp://host[:port]`. TLS as Docker's client has it:
 * with `DOCKER_TLS_VERIFY`, by the files in `DOCKER_CERT_PATH`.
 *
 * @throws WEAVE_FLAG_INVALID
 */
export function parseEndpoint(text: string, env: NodeJS.ProcessEnv = {}): Endpoint {
  const path = /^(?:unix:\/\/)?(\/.+)$/.exec(text)?.[1];
  if (path !== undefined) return { socketPath: path };
  const match = /^tcp:\/\/([\w.-]+)(?::(\d{1,5}))?\/?$/.exec(text);
  const secure = Boolean(env.DOCKER_TLS_VERIFY);
  const port = Number(match?.[2] ?? (secure ? PORT_TLS : PORT));
  if (match === null || port < 1 || port > 65_535) {
    throw new WeaveError("WEAVE_FLAG_INVALID", `'${text.slice(0, 200)}' is no address of a Docker engine`, {
      next: "Give unix:///var/run/docker.sock or tcp://host:port, by --docker-api or DOCKER_HOST.",
    });
  }
  return { host: match[1], port, ...(secure ? { tls: readTlsFiles(env.DOCKER_CERT_PATH ?? "/root/.docker") } : {}) };
}

/** @throws WEAVE_FLAG_INVALID naming the file that cannot be read */
export function readTlsFiles(folder: string): TlsFiles {
  return {
    ca: readPem(join(folder, "ca.pem")),
    cert: readPem(join(folder, "cert.pem")),
    key: readPem(join(folder, "key.pem")),
  };
}

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

export function endpointText(endpoint: Endpoint): string {
  return "socketPath" in endpoint ? `unix://${endpoint.socketPath}` : `tcp://${endpoint.host}:${endpoint.port}`;
}
