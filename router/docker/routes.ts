import type { DockerIntegration } from "#docker/docker.js";
import { DEFAULT_NETWORK } from "#docker/plugin/driver-names.js";
import { linesAnswer, type Route, route } from "#router/route.js";
import { jsonAnswer } from "#src/http/answer.js";

/** The routes of the Docker integration. The route of the proxy's addresses exists only with the proxy. */
export function dockerRoutes(docker: DockerIntegration): Route[] {
  const remove = route("DELETE /docker/network", async () => {
    return jsonAnswer({ network: DEFAULT_NETWORK, attached: await docker.removeNetwork() });
  });
  const addresses = route("GET /proxyaddrs", () => linesAnswer(docker.status.proxy ?? []));
  return docker.status.proxy === undefined ? [remove] : [remove, addresses];
}
