import { existsSync } from "node:fs";
import { clientFlag } from "#docker/engine/client-tls.js";
import { DEFAULT_ENGINE } from "#docker/engine/engine-address.js";
import { PODMAN_SOCKET } from "#docker/engine/podman.js";
import { hasTool } from "#src/linux/exec.js";
import { paths, proxySocket } from "#src/paths.js";

const ENGINE_SOCKET = "/var/run/docker.sock";

/** Address on which the proxy listens by default: in /var/run, as in Weave Net. */
export const ownProxy = (env: NodeJS.ProcessEnv): string =>
  `unix://${proxySocket(paths(env).run).replace(/^\/run\//, "/var/run/")}`;

/**
 * Address of the engine that the user's Docker client uses, and never of our proxy; without Docker that of Podman's service; "" if this
 * host has neither.
 */
export function defaultEngine(env: NodeJS.ProcessEnv): string {
  if (env.WEAVE_DOCKER_API !== undefined) return env.WEAVE_DOCKER_API;
  const named = clientFlag(env, "H") ?? clientFlag(env, "host");
  for (const host of [named, env.DOCKER_HOST, env.ORIG_DOCKER_HOST]) if (host && host !== ownProxy(env)) return host;
  if (existsSync(ENGINE_SOCKET) || hasTool("dockerd")) return DEFAULT_ENGINE;
  return existsSync(PODMAN_SOCKET) ? `unix://${PODMAN_SOCKET}` : "";
}
