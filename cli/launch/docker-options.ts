import { readdirSync, readFileSync } from "node:fs";
import { clientTls, flagIn } from "#docker/engine/client-tls.js";
import { ownProxy } from "#docker/engine/default-engine.js";
import { type EngineAddress, parseEngineAddress } from "#docker/engine/engine-address.js";
import type { DockerOptions } from "#docker/flags.js";
import { checkListeners, isLoopback } from "#docker/proxy/open-listeners.js";
import { WeaveError } from "#src/errors.js";

/** Address of the proxy for clients that reach Docker by TCP. The port is that of Weave Net. */
const PROXY_TCP = "tcp://127.0.0.1:12375";
const DAEMON_JSON = "/etc/docker/daemon.json";

/**
 * Completes options about Docker that depend on one another and on the engine that runs here.
 *
 * @param root the folder that is this host's, for tests
 * @throws WEAVE_FLAG_INVALID for a proxy that would be open to all, for TLS with an engine that has none, and for TLS files that cannot be read
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
    listen: given.listen.length > 0 ? given.listen : [usualListener(engine, env)],
    tls: tls.verify ? "verify" : given.tls,
  };
  const listensOnTcp = options.listen.some((each) => !/^(unix:\/\/)?\//.test(each));
  const complete = tls.detect && options.tls === "off" && listensOnTcp ? { ...options, ...engineTls(root) } : options;
  checkListeners(complete, engine);
  return complete;
}

/** The proxy serves all users of this host only where the engine does. */
function usualListener(engine: EngineAddress, env: NodeJS.ProcessEnv): string {
  return "host" in engine && isLoopback(engine.host) && engine.tls === undefined ? PROXY_TCP : ownProxy(env);
}

/** A Unix socket has no TLS: as Docker's client, the launch fails rather than go on in clear. */
function checkTlsOfEngine(api: string, env: NodeJS.ProcessEnv): void {
  const wanted = clientTls(env);
  // These variables may be about another engine than the one that the launch names.
  if (wanted === undefined || api.startsWith("tcp://") || env.DOCKER_HOST?.startsWith("tcp://")) return;
  throw new WeaveError("WEAVE_FLAG_INVALID", `${wanted.source} asks for TLS, and the engine at ${api} has none`, {
    next: "Unset it, or name the engine's TLS port by DOCKER_HOST or --docker-api.",
  });
}

/** The proxy serves TCP as the engine does: TLS by the flags of a `dockerd` that runs on this host, or by its configuration file. */
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

function engineArguments(root: string): string[] {
  for (const pid of readdirSync(`${root}/proc`).filter((name) => /^\d+$/.test(name))) {
    try {
      const words = readFileSync(`${root}/proc/${pid}/cmdline`, "utf8").split("\0");
      if (/(^|\/)dockerd$/.test(words[0])) return words;
    } catch {
      // It has ended meanwhile.
    }
  }
  return [];
}

function readConfig(path: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(readFileSync(path, "utf8"));
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    // Most hosts have none; the engine itself does not start with a broken one.
    return {};
  }
}
