import { existsSync } from "node:fs";
import { clientFlag } from "#docker/engine/client-tls.js";
import { DEFAULT_ENGINE } from "#docker/engine/engine-address.js";
import { hasTool } from "#src/linux/exec.js";
import { paths, proxySocket } from "#src/paths.js";

const ENGINE_SOCKET = "/var/run/docker.sock";

/** Where the proxy listens by default: in /var/run, as users of Weave Net know it. */
export const ownProxy = (env: NodeJS.ProcessEnv): string =>
  `unix://${proxySocket(paths(env).run).replace(/^\/run\//, "/var/run/")}`;

/** The engine that the user's own Docker client uses, and never our proxy; "" if this host has none. */
export function defaultEngine(env: NodeJS.ProcessEnv): string {
  if (env.WEAVE_DOCKER_API !== undefined) return env.WEAVE_DOCKER_API;
  const named = clientFlag(env, "H") ?? clientFlag(env, "host");
  for (const host of [named, env.DOCKER_HOST, env.ORIG_DOCKER_HOST]) if (host && host !== ownProxy(env)) return host;
  return existsSync(ENGINE_SOCKET) || hasTool("dockerd") ? DEFAULT_ENGINE : "";
}
