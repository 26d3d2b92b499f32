import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, request } from "node:http";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { changeBody } from "#docker/proxy/json-body.js";
import { silentLog } from "#src/log.js";

/** Sends a body to a server. @returns what `serve` makes of the request there */
async function received<T>(t: TestContext, body: string, serve: (request: IncomingMessage) => Promise<T>): Promise<T> {
  const server = createServer();
  t.after(() => server.close());
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const result = once(server, "request").then(async ([incoming, response]) => {
    const value = await serve(incoming as IncomingMessage);
    response.end();
    return value;
  });
  const { port } = server.address() as AddressInfo;
  request({ host: "127.0.0.1", port, method: "POST", agent: false }).end(body);
  return result;
}

test("a body that is longer than the limit is not changed, and all of it can be read", async (t) => {
  const body = JSON.stringify({ text: "x".repeat(5 << 20) });
  const { changed, rest } = await received(t, body, async (incoming) => {
    const changed = await changeBody(incoming, silentLog, async () => ({}));
    let rest = "";
    for await (const chunk of incoming) rest += chunk;
    return { changed, rest };
  });
  assert.equal(changed.bytes, undefined);
  assert.match(String(changed.warning), /longer than 4194304 bytes/);
  assert.ok(rest === body, `${rest.length} of ${body.length} characters`);
});

test("a body that is no object, or whose change fails, stays as it is", async (t) => {
  const failing = () => Promise.reject(new Error("no engine"));
  for (const body of ["[1]", "{", '{"a":1}']) {
    const { bytes } = await received(t, body, (incoming) => changeBody(incoming, silentLog, failing));
    assert.equal(String(bytes), body);
  }
});
