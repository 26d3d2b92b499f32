import { type Route, route } from "#router/route.js";
import type { Router } from "#router/router.js";

/** What the control API has of Docker's part. Without Docker its paths do not exist, without the proxy not that of its addresses. */
export function dockerRoutes({ docker }: Router): Route[] {
  if (docker === undefined) return [];
  const leave = route("POST /docker/leave", () => {
    docker.leave();
    return { status: 204 };
  });
  const addresses = route("GET /proxyaddrs", () => ({
    body: (docker.status.proxy ?? []).map((address) => `${address}\n`).join(""),
  }));
  return docker.status.proxy === undefined ? [leave] : [leave, addresses];
}
