import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { type IncomingHttpHeaders, request, type Server } from "node:http";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import fc from "fast-check";
import { fullAccess, makeToken, tcpAccess } from "#router/api/access.js";
import { createApi, listenApi } from "#router/api/http.js";
import { renderTemplate, stringify } from "#router/api/template.js";
import { type Route, route } from "#router/route.js";
import { WeaveError } from "#src/errors.js";
import { silentLog } from "#src/log.js";

const folder = mkdtempSync(join(tmpdir(), "weave-api-"));
const servers: Server[] = [];
after(() => {
  for (const server of servers) server.close();
  rmSync(folder, { recursive: true, force: true });
});

test("templates: paths, len, range, literals and json", () => {
  const data = { Router: { Name: "a", Peers: [{ N: 1 }, { N: 2 }], UID: 17138577346899872704n, None: null } };
  for (const [template, expected] of [
    ["{{.Router.Name}}", "a"],
    ["{{len .Router.Peers}}{{len .Router.Name}}", "21"],
    ['{{range .Router.Peers}}<{{.N}}>{{"\\n"}}{{end}}', "<1>\n<2>\n"],
    ["{{json .Router.Peers}}", '[{"N":1},{"N":2}]'],
    ["{{.Router.UID}}", "17138577346899872704"],
    ["{{range .Router.None}}x{{end}}{{len .Router.None}}", "0"],
    ["plain }} text", "plain }} text"],
  ]) {
    assert.equal(renderTemplate(template, data), expected);
  }
  assert.equal(stringify(data.Router.UID), "17138577346899872704");
});

test("bad templates are refused: at parsing with 400, at execution with 500", () => {
  for (const template of ["{{.A", "{{end}}", "{{range .A}}", "{{foo .A}}", "{{.A.}}", '{{"x}}', "{{$x := 1}}"]) {
    assert.throws(() => renderTemplate(template, {}), { code: "WEAVE_TEMPLATE" }, template);
  }
  for (const [template, why] of [
    ["{{.Missing}}", "the report has no field Missing"],
    ["{{.O.B}}", ".O has no field B"],
    ["{{.A.B}}", ".A has no field B"],
    ["{{range .A}}{{end}}", ".A is no list"],
    ["{{len .A}}", ".A has no length"],
    ["{{.constructor}}", "the report has no field constructor"],
    ["{{.__proto__}}", "the report has no field __proto__"],
  ]) {
    assert.throws(
      () => renderTemplate(template, { A: 1, O: {} }),
      { code: "WEAVE_API", message: `error during template execution: ${why}` },
      template,
    );
  }
  fc.assert(
    fc.property(fc.string(), (template) => {
      try {
        renderTemplate(template, { A: [1] });
      } catch (error) {
        assert.ok(error instanceof WeaveError);
      }
    }),
  );
});

async function ask(
  path: string,
  method: string,
  url: string,
  body?: Buffer,
  headers: Record<string, string> = {},
): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const length = body ? { "Content-Length": body.length } : {};
    const outgoing = request(
      { socketPath: path, path: url, method, headers: { ...headers, ...length } },
      (incoming) => {
        let text = "";
        incoming.on("data", (chunk: Buffer) => {
          text += chunk;
        });
        incoming.on("end", () => resolve({ status: incoming.statusCode!, body: text }));
      },
    );
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}

test("the API: 404, 405, forms in query and body, its own errors, 503 while starting, and a limit for bodies", async () => {
  const routes: Route[] = [
    route("POST /echo/:text", ({ params: { text }, form }) => ({ body: `${text} ${form.getAll("peer")}` })),
    route("GET /fail", () => {
      throw new WeaveError("WEAVE_ADDRESS_INVALID", "no address", { next: "give one" });
    }),
  ];
  let ready = false;
  const server = createApi(() => (ready ? routes : undefined), silentLog, fullAccess);
  servers.push(server);
  const path = join(folder, "api.sock");
  await listenApi(server, path);
  assert.deepEqual(await ask(path, "GET", "/fail"), { status: 503, body: "weave is starting\n" });
  ready = true;
  assert.deepEqual(await ask(path, "GET", "/none"), { status: 404, body: "404 page not found\n" });
  assert.equal((await ask(path, "DELETE", "/echo/x")).status, 405);
  assert.deepEqual(await ask(path, "POST", "/echo/a%2Fb?peer=1", Buffer.from("peer=2")), {
    status: 200,
    body: "a/b 1,2",
  });
  assert.equal((await ask(path, "GET", "/fail", undefined, { Origin: "http://evil.example" })).status, 403);
  assert.deepEqual(await ask(path, "GET", "/fail"), { status: 400, body: "no address\ngive one\n" });
  assert.equal((await ask(path, "POST", "/echo/%zz")).status, 400);
  assert.equal((await ask(path, "POST", "/echo/x", Buffer.alloc(300_000, 97))).status, 413);
});

test("over TCP any client can read, a client with the token can change, and a request for another server name is refused", () => {
  const token = makeToken(folder);
  const file = join(folder, "control.token");
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.equal(readFileSync(file, "utf8"), `${token}\n`);
  assert.notEqual(makeToken(folder), token, "each start has its own");
  const access = tcpAccess({ address: "Box.example:6784", token, run: folder });
  const status = (headers: IncomingHttpHeaders, changes = false) => access(headers, changes)?.status ?? 200;
  for (const host of [
    "127.0.0.1:6784",
    "localhost:6784",
    "LOCALHOST",
    "10.0.0.7",
    "[::1]:6784",
    "box.example:6784",
    hostname(),
  ])
    assert.equal(status({ host }), 200, host);
  for (const host of [
    "evil.example",
    "evil.example:6784",
    "127.0.0.1.evil.example",
    "",
    "a:b:c",
    "[evil.example]:1",
    "localhost.evil.example:80",
  ])
    assert.equal(status({ host }), 421, host);
  // HTTP/1.0 has no such header, and no browser speaks it.
  assert.equal(status({}), 200);
  assert.equal(status({ host: "evil.example", authorization: `Bearer ${token}` }, true), 421);
  assert.equal(status({}, true), 403);
  for (const authorization of [
    "",
    "Bearer",
    "Bearer ",
    `Bearer ${token}x`,
    `Bearer ${token.slice(1)}`,
    `Basic ${token}`,
    token,
  ])
    assert.equal(status({ authorization }, true), 403, authorization);
  assert.equal(status({ authorization: `Bearer ${token}` }, true), 200);
  const insecure = tcpAccess({ address: ":6784", token: undefined, run: folder });
  assert.equal(insecure({ host: "127.0.0.1" }, true), undefined);
  assert.equal(insecure({ host: "evil.example" }, true)?.status, 421);
});

test("a change is refused before its body is read: every method but GET, and a GET whose route changes something", async () => {
  let calls = 0;
  const handle = () => {
    calls++;
    return {};
  };
  const routes = [
    ...["GET", "POST", "PUT", "DELETE"].map((method) => route(`${method} /x`, handle)),
    route("GET /ring", handle, { changes: true }),
  ];
  const server = createApi(
    () => routes,
    silentLog,
    tcpAccess({ address: "127.0.0.1:1", token: "secret", run: folder }),
  );
  servers.push(server);
  const path = join(folder, "closed.sock");
  await listenApi(server, path);
  assert.equal((await ask(path, "GET", "/x")).status, 200);
  assert.equal((await ask(path, "HEAD", "/x")).status, 200);
  for (const [method, url] of [
    ["POST", "/x"],
    ["PUT", "/x"],
    ["DELETE", "/x"],
    ["GET", "/ring"],
    ["HEAD", "/ring"],
  ]) {
    const { status, body } = await ask(path, method, url, method === "POST" ? Buffer.alloc(300_000) : undefined);
    assert.equal(status, 403, `${method} ${url}`);
    if (method !== "HEAD") assert.match(body, /read-only over TCP.*\n.*control\.sock.*--insecure-http/);
  }
  assert.equal(calls, 2);
  assert.equal((await ask(path, "PUT", "/x", undefined, { Authorization: "Bearer secret" })).status, 200);
});

test("listening: an invalid address is refused, a port in use is reported, an existing file is kept", async () => {
  const make = () => {
    const server = createApi(() => [], silentLog, fullAccess);
    servers.push(server);
    return server;
  };
  await assert.rejects(listenApi(make(), "nowhere"), { code: "WEAVE_FLAG_INVALID" });
  const file = join(folder, "precious");
  writeFileSync(file, "precious");
  await assert.rejects(listenApi(make(), file), {
    code: "WEAVE_API",
    message: `the API cannot listen on ${file}: it is a file, not a socket`,
    next: /--http-addr/,
  });
  assert.equal(readFileSync(file, "utf8"), "precious");
  const first = make();
  await listenApi(first, "127.0.0.1:0");
  const { port } = first.address() as { port: number };
  await assert.rejects(listenApi(make(), `127.0.0.1:${port}`), { code: "WEAVE_PORT_IN_USE" });
});
