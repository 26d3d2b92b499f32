import type { DockerIntegration } from "#docker/docker.js";
import { DEFAULT_NETWORK } from "#docker/plugin/driver-names.js";
import { linesAnswer, type Route, route } from "#router/route.js";
import { jsonAnswer } from "#src/http/answer.js";

/** Limit for the first contact with an engine: in an engine without work it takes less than 0.1 s, with 200 containers 0.4 s. */
const SETTLED_MS = 5_000;

/** The routes of the Docker integration. The route of the proxy's addresses exists only with the proxy. */
export function dockerRoutes(docker: DockerIntegration): Route[] {
  const remove = route("DELETE /docker/network", async () => {
    return jsonAnswer({ network: DEFAULT_NETWORK, attached: await docker.removeNetwork() });
  });
  const settled = route("GET /docker/network", async () => {
    await docker.settled(SETTLED_MS);
    return jsonAnswer({ network: DEFAULT_NETWORK });
  });
  const addresses = route("GET /proxyaddrs", () => linesAnswer(docker.status.proxy ?? []));
  return docker.status.proxy === undefined ? [remove, settled] : [remove, settled, addresses];
}
