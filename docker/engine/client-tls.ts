import { join } from "node:path";

/** TLS settings of Docker's own client; files are paths. */
export interface ClientTls {
  /** Name of the setting that turns TLS on, for messages. */
  readonly source: string;
  /** Whether the engine's certificate is checked. */
  readonly verify: boolean;
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/**
 * Reads the TLS settings of Docker's client: `DOCKER_TLS_VERIFY` with `DOCKER_CERT_PATH`, and the flags in
 * `DOCKER_CLIENT_ARGS`, which users of Weave Net set.
 *
 * @returns undefined when TLS is off
 */
export function clientTls(env: NodeJS.ProcessEnv): ClientTls | undefined {
  const on = (name: string) => !["", "0", "false"].includes(clientFlag(env, name) ?? "");
  const [tls, verifyFlag] = [on("tls"), on("tlsverify")];
  const verify = Boolean(env.DOCKER_TLS_VERIFY) || verifyFlag;
  if (!tls && !verify) return undefined;
  const folder = env.DOCKER_CERT_PATH || join(env.HOME || "/root", ".docker");
  const file = (name: string, usual: string) => clientFlag(env, name) || join(folder, usual);
  return {
    source: env.DOCKER_TLS_VERIFY ? "DOCKER_TLS_VERIFY" : `--${verifyFlag ? "tlsverify" : "tls"} in DOCKER_CLIENT_ARGS`,
    verify,
    ca: file("tlscacert", "ca.pem"),
    cert: file("tlscert", "cert.pem"),
    key: file("tlskey", "key.pem"),
  };
}

/** Returns the value of a flag in `DOCKER_CLIENT_ARGS`; "true" for a switch; undefined when the flag is missing. */
export function clientFlag(env: NodeJS.ProcessEnv, name: string): string | undefined {
  return flagIn((env.DOCKER_CLIENT_ARGS ?? "").split(/\s+/), name);
}

/** Returns the value of a flag in a command line of Docker, by the rules of Docker's parser; the last of several wins. */
export function flagIn(words: readonly string[], name: string): string | undefined {
  const flag = name.length === 1 ? `-${name}` : `--${name}`;
  const at = words.findLastIndex((word) => word === flag || word.startsWith(`${flag}=`));
  if (at === -1) return undefined;
  if (words[at] !== flag) return words[at].slice(flag.length + 1);
  // A switch has no value.
  return ["tls", "tlsverify"].includes(name) ? "true" : words[at + 1];
}
