import { type Route, route } from "#router/api/http.js";
import type { Router } from "#router/router.js";

/** What the control API says of Docker's part. Without the proxy its path does not exist. */
export function dockerRoutes({ docker }: Router): Route[] {
  if (docker?.status.proxy === undefined) return [];
  return [
    route("GET", /^\/proxyaddrs$/, () => ({
      body: (docker.status.proxy ?? []).map((address) => `${address}\n`).join(""),
    })),
  ];
}
