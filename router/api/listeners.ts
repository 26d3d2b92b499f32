import type { Server } from "node:http";
import { fullAccess, makeToken, tcpAccess } from "#router/api/access.js";
import { type Access, createApi, listenApi } from "#router/api/http.js";
import { controlRoutes, metricsRoutes, statusRoutes } from "#router/api/routes.js";
import type { RouterOptions } from "#router/options.js";
import type { Route } from "#router/route.js";
import type { Router } from "#router/router.js";
import type { Log } from "#src/log.js";
import { controlSocket } from "#src/paths.js";
import type { Problems } from "#src/problems.js";

export interface ListenersParts {
  /** Undefined while it is starting: the answer is 503 then. */
  readonly router: () => Router | undefined;
  readonly options: RouterOptions;
  /** Folder of sockets. */
  readonly run: string;
  readonly log: Log;
  readonly problems: Problems;
  /** Those that listen are added to it, also when a later one cannot. */
  readonly servers: Server[];
}

/**
 * Control API, status and metrics, each at its address; the control API always at its Unix socket too. They listen before
 * the router exists, so that a port in use is found out before anything is made on the host.
 *
 * @throws WEAVE_PORT_IN_USE, WEAVE_FLAG_INVALID, WEAVE_API
 */
export async function openListeners({ router, options, run, log, problems, servers }: ListenersParts): Promise<void> {
  const open = async (address: string, make: (router: Router) => Route[], token: string | undefined) => {
    if (address === "") return;
    let routes: Route[] | undefined;
    const access: Access = address.startsWith("/") ? fullAccess : tcpAccess({ address, token, run });
    const current = () => {
      const started = router();
      if (routes === undefined && started !== undefined) routes = make(started);
      return routes;
    };
    const server = createApi(current, log, access);
    await listenApi(server, address);
    servers.push(server);
    if (/^(0\.0\.0\.0)?:/.test(address))
      log.warn("the API listens at all addresses of this host; whoever reaches one of them can read it", { address });
  };
  const { httpAddr, insecureHttp, statusAddr, metricsAddr } = options;
  const socket = controlSocket(run);
  await open(socket, controlRoutes, undefined);
  // After the socket: the token of a router that serves it must stay.
  const token = makeToken(run);
  if (httpAddr !== socket) await open(httpAddr, controlRoutes, insecureHttp ? undefined : token);
  if (insecureHttp && httpAddr !== "" && !httpAddr.startsWith("/")) {
    const why = `everybody who reaches the control API at ${httpAddr} can change everything (--insecure-http); 'weave stop' and a launch without that flag close it.`;
    log.warn(why);
    problems.set("control API", why);
  }
  await open(statusAddr, statusRoutes, token);
  await open(metricsAddr, metricsRoutes, token);
}
