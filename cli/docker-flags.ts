import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import type { DockerOptions } from "#docker/options.js";
import { engineOf, ownProxy } from "./engine-of.js";

/** Where the proxy listens for clients that reach Docker by TCP. As the original. */
const PROXY_TCP = "tcp://0.0.0.0:12375";

/** Adds the flags about Docker to `weave launch`. */
export function addDockerFlags(command: Command, env: NodeJS.ProcessEnv): void {
  const several = (text: string, before: string[]): string[] => [...before, text];
  command
    .option("--docker-api <endpoint>", "", engineOf(env))
    .option("--docker-bridge <name>", "", env.DOCKER_BRIDGE || "docker0")
    .option("--plugin", "", true)
    .option("--no-plugin")
    .option("--plugin-socket <path>", "", "/run/docker/plugins/weave.sock")
    .option("--plugin-mesh-socket <path>", "", "/run/docker/plugins/weavemesh.sock")
    .option("--proxy", "", true)
    .option("--no-proxy")
    .option("-H <endpoint>", "", several, [])
    .option("--hostname-from-label <label>", "", "")
    .option("--hostname-match <regexp>", "", "(.*)")
    .option("--hostname-replacement <text>", "", "$1")
    .option("--rewrite-inspect")
    .option("--no-default-ipalloc")
    .option("--no-rewrite-hosts")
    .option("--without-dns")
    .option("--no-multicast-route")
    .option("--tls")
    .option("--tlsverify")
    .option("--tlscacert <path>", "", join(certificates(env), "ca.pem"))
    .option("--tlscert <path>", "", join(certificates(env), "cert.pem"))
    .option("--tlskey <path>", "", join(certificates(env), "key.pem"))
    .option("--no-detect-tls");
}

/** What those flags came to. */
export function dockerOptionsOf(given: Record<string, unknown>, env: NodeJS.ProcessEnv): DockerOptions {
  const text = (name: string) => given[name] as string;
  const listen = given.H as string[];
  const overTcp = text("dockerApi").startsWith("tcp://");
  const options: DockerOptions = {
    api: text("dockerApi"),
    bridge: text("dockerBridge"),
    plugin: given.plugin !== false,
    pluginSocket: text("pluginSocket"),
    meshSocket: text("pluginMeshSocket"),
    proxy: given.proxy !== false,
    listen: listen.length > 0 ? listen : [overTcp ? PROXY_TCP : ownProxy(env)],
    hostnameFromLabel: text("hostnameFromLabel"),
    hostnameMatch: text("hostnameMatch"),
    hostnameReplacement: text("hostnameReplacement"),
    rewriteInspect: given.rewriteInspect === true,
    defaultIpalloc: given.defaultIpalloc !== false,
    rewriteHosts: given.rewriteHosts !== false,
    dns: given.withoutDns !== true,
    multicastRoute: given.multicastRoute !== false,
    tls: given.tlsverify ? "verify" : given.tls ? "on" : "off",
    tlsCa: text("tlscacert"),
    tlsCert: text("tlscert"),
    tlsKey: text("tlskey"),
  };
  const listensOnTcp = options.listen.some((each) => !/^(unix:\/\/)?\//.test(each));
  return given.detectTls !== false && options.tls === "off" && listensOnTcp ? { ...options, ...engineTls() } : options;
}

const certificates = (env: NodeJS.ProcessEnv): string => env.DOCKER_CERT_PATH || join(env.HOME || "/root", ".docker");

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
