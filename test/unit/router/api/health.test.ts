import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fullAccess } from "#router/api/access.js";
import { createApi, listenApi } from "#router/api/http.js";
import { apiRoutes } from "#router/api/routes.js";
import type { Route } from "#router/route.js";
import { fetchReply } from "#src/http/client.js";
import { silentLog } from "#src/log.js";
import { Problems } from "#src/problems.js";

test("a router that starts is alive and not ready; later it is both", async () => {
  const folder = mkdtempSync(join(tmpdir(), "weave-health-"));
  const path = join(folder, "socket");
  let routes: readonly Route[] | undefined;
  const server = createApi(() => routes, silentLog, fullAccess);
  const get = async (call: string, method = "GET") => {
    const { status, body } = await fetchReply({ to: { path }, method, path: call });
    return `${status} ${body}`;
  };
  try {
    await listenApi(server, path);
    assert.equal(await get("/healthz"), "200 alive\n");
    assert.equal(await get("/healthz?x=1"), "200 alive\n");
    assert.equal(await get("/healthz", "POST"), "503 weave is starting\n");
    assert.equal(await get("/readyz"), "503 weave is starting\n");
    routes = apiRoutes([], { problems: new Problems(), supervision: "none", reload: () => "info" });
    assert.equal(await get("/healthz"), "200 alive\n");
    assert.equal(await get("/readyz"), "200 ready\n");
    assert.equal(await get("/readyz", "POST"), "405 Method Not Allowed\n");
  } finally {
    server.close();
    rmSync(folder, { recursive: true });
  }
});
