import { call } from "#cli/support/client.js";
import { ANY_HOST } from "#src/net/family.js";

/** Address of the proxy for Docker clients, in the form of `DOCKER_HOST`; undefined when the router has no proxy. @throws WEAVE_NOT_RUNNING */
export async function proxyAddress(env: NodeJS.ProcessEnv): Promise<string | undefined> {
  const { status, body } = await call({ path: "/proxyaddrs" });
  const [first] = body.split("\n");
  if (status !== 200 || first === "") return undefined;
  return first.replace(`//${ANY_HOST}:`, `//${proxyHost(env)}:`);
}

/** Host name that replaces 0.0.0.0 in the proxy's address. */
function proxyHost({ PROXY_HOST, DOCKER_HOST }: NodeJS.ProcessEnv): string {
  return PROXY_HOST || /^tcp:\/\/([^:/]+)/.exec(DOCKER_HOST ?? "")?.[1] || "127.0.0.1";
}
