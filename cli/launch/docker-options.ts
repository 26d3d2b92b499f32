import { readdirSync, readFileSync } from "node:fs";
import { clientTls, flagIn } from "#docker/engine/client-tls.js";
import { ownProxy } from "#docker/engine/default-engine.js";
import { type EngineAddress, parseEngineAddress } from "#docker/engine/engine-address.js";
import { isPodman, PODMAN_BRIDGE } from "#docker/engine/podman.js";
import { DOCKER_FLAGS, type DockerOptions } from "#docker/flags.js";
import { checkListeners, isLoopback } from "#docker/proxy/open-listeners.js";
import { WeaveError } from "#src/errors.js";

/** Default address of the proxy for an engine on TCP. Weave Net uses the same port. */
const PROXY_TCP = "tcp://127.0.0.1:12375";
const DAEMON_JSON = "/etc/docker/daemon.json";

/**
 * Completes Docker's options that depend on one another, on the environment, and on the `dockerd` of this host.
 *
 * @param tls values of `--tlsverify` and `--no-detect-tls`
 * @param root folder of the host's /proc and /etc, for tests; "" for /
 * @throws WEAVE_FLAG_INVALID for a proxy that would be open to any client, for an engine on a Unix socket although the client's settings
 * require TLS, and for TLS files that cannot be read
 */
export function completeDocker(
  given: DockerOptions,
  tls: { readonly verify: boolean; readonly detect: boolean },
  env: NodeJS.ProcessEnv,
  root = "",
): DockerOptions {
  if (given.api === "") return given;
  checkTlsOfEngine(given.api, env);
  const engine = parseEngineAddress(given.api, env);
  const options: DockerOptions = {
    ...given,
    listen: given.listen.length > 0 ? given.listen : [defaultListener(engine, env)],
    tls: tls.verify ? "verify" : given.tls,
    ...(isPodman(engine) ? podmanOptions(given) : {}),
  };
  const listensOnTcp = options.listen.some((each) => !/^(unix:\/\/)?\//.test(each));
  const complete = tls.detect && options.tls === "off" && listensOnTcp ? { ...options, ...engineTls(root) } : options;
  checkListeners(complete, engine);
  return complete;
}

/** Podman has no network plugins, and a default network of its own. */
const podmanOptions = ({ bridge }: DockerOptions): Partial<DockerOptions> => ({
  plugin: false,
  bridge: bridge === DOCKER_FLAGS.bridge.default ? PODMAN_BRIDGE : bridge,
});

/** Default address of the proxy. It is on TCP, for all users of this host, only if the engine is, too. */
function defaultListener(engine: EngineAddress, env: NodeJS.ProcessEnv): string {
  return "host" in engine && isLoopback(engine.host) && engine.tls === undefined ? PROXY_TCP : ownProxy(env);
}

/** Rejects a Unix socket, which has no TLS, if the client's settings require TLS. Docker's client does the same. @throws WEAVE_FLAG_INVALID */
function checkTlsOfEngine(api: string, env: NodeJS.ProcessEnv): void {
  const wanted = clientTls(env);
  // A DOCKER_HOST on TCP shows that the settings are about that engine, not the one of the launch.
  if (wanted === undefined || api.startsWith("tcp://") || env.DOCKER_HOST?.startsWith("tcp://")) return;
  throw new WeaveError("WEAVE_FLAG_INVALID", `${wanted.source} requires TLS, but the engine at ${api} has none`, {
    next: "Unset it, or name the engine's TLS port by DOCKER_HOST or --docker-api.",
  });
}

/** TLS options for the proxy, from the flags or the configuration file of the `dockerd` that runs on this host; none if it does not use TLS. */
function engineTls(root: string): Partial<DockerOptions> {
  const words = engineArguments(root);
  const config = readConfig(`${root}${flagIn(words, "config-file") ?? DAEMON_JSON}`);
  const value = (name: string): string => flagIn(words, name) ?? String(config[name] ?? "");
  const on = (name: string) => ["true", "1"].includes(value(name));
  if (!on("tls") && !on("tlsverify")) return {};
  const files = { tlsCa: value("tlscacert"), tlsCert: value("tlscert"), tlsKey: value("tlskey") };
  return {
    tls: on("tlsverify") ? "verify" : "on",
    ...Object.fromEntries(Object.entries(files).filter(([, path]) => path !== "")),
  };
}

/** Command line of the `dockerd` that runs on this host; empty if there is none. */
function engineArguments(root: string): string[] {
  for (const pid of readdirSync(`${root}/proc`).filter((name) => /^\d+$/.test(name))) {
    try {
      const words = readFileSync(`${root}/proc/${pid}/cmdline`, "utf8").split("\0");
      if (/(^|\/)dockerd$/.test(words[0])) return words;
    } catch {
      // The process has ended.
    }
  }
  return [];
}

function readConfig(path: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(readFileSync(path, "utf8"));
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    // Most hosts have no such file. With an invalid one the engine itself does not start.
    return {};
  }
}
