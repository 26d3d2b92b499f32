import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import { routesFor } from "#router/api/routes.js";
import { MAX_PAGES } from "#router/page/feed.js";
import { PageFiles } from "#router/page/files.js";
import { assemblePageState } from "#router/page/state-assembly.js";
import { statusRoute } from "#router/route.js";
import { ROOT } from "#test/lab/docs/pages.js";
import { pageNetwork } from "#test/lab/page-network.js";
import { type PageServer, servePage } from "#test/lab/page-server.js";
import { until } from "#test/lab/wait.js";

/** The page's listener as browsers and other programs see it, with the page of the present sources. */

const folder = mkdtempSync(join(tmpdir(), "weave-page-files-"));
let server: PageServer;

before(async () => {
  const { buildPage } = await import(join(ROOT, "scripts/build/page.mjs"));
  await buildPage(folder);
  const state = assemblePageState(pageNetwork({ peers: 4, degree: 2 }));
  const events = [statusRoute("/events", () => ({ body: "[]" })), statusRoute("/report", () => ({ body: "secret" }))];
  server = await servePage(() => state, {
    files: new PageFiles(join(folder, "files.json")),
    more: events,
  });
});
after(() => {
  server.stop();
  rmSync(folder, { recursive: true });
});

interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

function get(path: string, headers: Readonly<Record<string, string>> = {}, method = "GET"): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const call = request({ host: "127.0.0.1", port: server.port, path, headers, method }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (chunk) => {
        body += chunk;
      });
      response.on("end", () => resolve({ status: response.statusCode!, headers: response.headers, body }));
    });
    call.on("error", reject).end();
  });
}

test("the page and its files are small, and name nothing elsewhere", async () => {
  const names = readdirSync(folder).filter((name) => name !== "files.json");
  const bytes = names.reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
  const packed = names.reduce((sum, name) => sum + gzipSync(readFileSync(join(folder, name))).length, 0);
  assert.ok(bytes < 150_000, `${bytes} bytes, ${packed} compressed`);
  const { body } = await get("/");
  assert.doesNotMatch(body, /<style|style=|<script>|\son\w+=/);
  const assets = [...body.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path]) => path);
  assert.equal(assets.length, 3);
  for (const path of assets) {
    const { status, headers, body: text } = await get(`/${path}`);
    assert.equal(status, 200, path);
    assert.match(String(headers["cache-control"]), /immutable/);
    // Namespaces of SVG and MathML are names, not addresses.
    assert.doesNotMatch(text.replace(/http:\/\/www\.w3\.org\/\w+\/[\w/]+/g, ""), /https?:\/\//, path);
    assert.doesNotMatch(text, /\beval\(|new Function/);
  }
});

test("all answers forbid scripts, frames and requests of others, also those that refuse", async () => {
  for (const path of ["/", "/page/state", "/nothing", "/assets/nothing.js"]) {
    const { headers } = await get(path);
    const policy = String(headers["content-security-policy"]);
    assert.match(policy, /default-src 'none'; script-src 'self'; style-src 'self'/, path);
    assert.match(policy, /frame-ancestors 'none'/);
    assert.doesNotMatch(policy, /unsafe|https?:|\*/);
    assert.deepEqual(
      ["x-content-type-options", "x-frame-options", "referrer-policy", "cross-origin-resource-policy"].map(
        (name) => headers[name],
      ),
      ["nosniff", "DENY", "no-referrer", "same-origin"],
    );
    assert.equal(headers["access-control-allow-origin"], undefined);
  }
});

test("a name that leads to this host, and pages of other sites, are refused", async () => {
  for (const host of ["evil.example", "evil.example:6785", "127.0.0.1.evil.example", "[::ffff"])
    assert.equal((await get("/page/state", { Host: host })).status, 421, host);
  for (const host of ["localhost:1", "127.0.0.1"]) assert.equal((await get("/page/state", { Host: host })).status, 200);
  for (const site of ["cross-site", "same-site"])
    for (const path of ["/page/state", "/page/stream", "/"])
      assert.equal((await get(path, { "Sec-Fetch-Site": site, "Sec-Fetch-Mode": "cors" })).status, 403, site);
  const framed = { "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe" };
  assert.equal((await get("/", framed)).status, 403);
  assert.equal((await get("/", { ...framed, "Sec-Fetch-Dest": "document" })).status, 200);
  assert.equal((await get("/page/state", { Origin: "http://evil.example" })).status, 403);
  assert.equal((await get("/page/state", { "Sec-Fetch-Site": "same-origin" })).status, 200);
});

test("it changes nothing, and has no call of other listeners but the events", async () => {
  for (const method of ["POST", "PUT", "DELETE", "OPTIONS"])
    assert.equal((await get("/page/state", {}, method)).status, 405, method);
  assert.equal((await get("/report")).status, 404);
  assert.equal((await get("/events")).status, 200);
  assert.equal(routesFor("status", [...routesFor("page", [])]).length, 0);
  const { status, body } = await get("/page/stream", {}, "HEAD");
  assert.deepEqual([status, body], [200, ""]);
});

test("the state is one JSON document, and the stream has a limit of pages that it names", async () => {
  const { headers, body } = await get("/page/state");
  assert.equal(headers["content-type"], "application/json");
  const { shape, mesh } = JSON.parse(body);
  assert.deepEqual([shape, mesh.peers.length], ["weave.page/1", 4]);
  const open = Array.from({ length: MAX_PAGES }, () => {
    const call = request({ host: "127.0.0.1", port: server.port, path: "/page/stream" }, (response) =>
      response.resume(),
    );
    call.on("error", () => {}).end();
    return call;
  });
  await until("all pages are open", async () => server.feed.isFull);
  const refused = await get("/page/stream");
  assert.equal(refused.status, 503);
  assert.match(refused.body, /too many pages are open at this router: close one/);
  for (const call of open) call.destroy();
  await until("they are closed", async () => !server.feed.isFull);
});
