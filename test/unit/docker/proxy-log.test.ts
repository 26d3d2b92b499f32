import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { DockerOptions } from "#docker/flags.js";
import { ApiProxy } from "#docker/proxy/proxy.js";
import { silentLog } from "#src/log.js";

test("a failed call is logged without its query, which may hold secrets", async () => {
  const folder = mkdtempSync(join(tmpdir(), "weave-proxy-"));
  const lines: string[] = [];
  const keep = (message: string, fields?: object) => void lines.push(`${message} ${JSON.stringify(fields)}`);
  const path = join(folder, "proxy.sock");
  // No engine answers there.
  const engine = { socketPath: join(folder, "engine.sock") };
  const log = { ...silentLog, debug: keep, info: keep, warn: keep, error: keep };
  const proxy = await ApiProxy.open({ engine, log }, { listen: [path], tls: "off" } as unknown as DockerOptions);
  try {
    const status = await new Promise((resolve, reject) => {
      const call = {
        socketPath: path,
        method: "POST",
        path: "/v1.44/build?buildargs=%7B%22TOKEN%22%3A%22s3cret%22%7D",
        agent: false,
      };
      request(call, (response) => resolve(response.resume().statusCode))
        .on("error", reject)
        .end();
    });
    assert.equal(status, 502);
    assert.match(lines.join("\n"), /"call":"POST \/v1\.44\/build"/);
    assert.match(lines.join("\n"), /a call of the Docker API {"call":"POST \/v1\.44\/build",/);
    assert.doesNotMatch(lines.join("\n"), /s3cret|buildargs/);
  } finally {
    await proxy.close();
    rmSync(folder, { recursive: true, force: true });
  }
});
