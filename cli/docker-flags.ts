import { readdirSync, readFileSync } from "node:fs";
import { ownProxy } from "#docker/engine-of.js";
import type { DockerOptions } from "#docker/flags.js";

/** Where the proxy listens for clients that reach Docker by TCP. As Weave Net. */
const PROXY_TCP = "tcp://0.0.0.0:12375";

/** Completes options about Docker that depend on one another and on the engine that runs here. */
export function completeDocker(
  given: DockerOptions,
  tls: { readonly verify: boolean; readonly detect: boolean },
  env: NodeJS.ProcessEnv,
): DockerOptions {
  const overTcp = given.api.startsWith("tcp://");
  const options: DockerOptions = {
    ...given,
    listen: given.listen.length > 0 ? given.listen : [overTcp ? PROXY_TCP : ownProxy(env)],
    tls: tls.verify ? "verify" : given.tls,
  };
  const listensOnTcp = options.listen.some((each) => !/^(unix:\/\/)?\//.test(each));
  return tls.detect && options.tls === "off" && listensOnTcp ? { ...options, ...engineTls() } : options;
}

/** The proxy serves TCP as the engine does: TLS flags of a `dockerd` that runs on this host. */
function engineTls(): Partial<DockerOptions> {
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    let words: string[];
    try {
      words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    } catch {
      // It has ended meanwhile.
      continue;
    }
    if (!/(^|\/)dockerd$/.test(words[0])) continue;
    const flag = (name: string): string | undefined => {
      const at = words.findIndex((word) => word === `--${name}` || word.startsWith(`--${name}=`));
      if (at === -1) return undefined;
      return words[at].includes("=") ? words[at].split("=")[1] : words[at + 1];
    };
    const on = (name: string) => words.some((word) => word === `--${name}` || word === `--${name}=true`);
    if (!on("tls") && !on("tlsverify")) continue;
    return {
      tls: on("tlsverify") ? "verify" : "on",
      ...(flag("tlscacert") ? { tlsCa: flag("tlscacert") } : {}),
      ...(flag("tlscert") ? { tlsCert: flag("tlscert") } : {}),
      ...(flag("tlskey") ? { tlsKey: flag("tlskey") } : {}),
    };
  }
  return {};
}
