import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import type { Server } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { WeaveError } from "#src/errors.js";
import { errorAnswer, jsonAnswer, sendAnswer } from "#src/http/answer.js";
import { readBody, readPrefix } from "#src/http/body.js";
import { fetchReply, type HttpCall, openReply } from "#src/http/client.js";
import { listen, type ServerAddress } from "#src/http/listen.js";
import { httpServer, type Serve } from "#src/http/server.js";
import { silentLog } from "#src/log.js";

const folder = mkdtempSync(join(tmpdir(), "weave-http-"));
const servers: Server[] = [];
after(() => {
  for (const server of servers) {
    server.close();
    server.closeAllConnections();
  }
  rmSync(folder, { recursive: true, force: true });
});

const OPTIONS = { name: "the test", remedy: "" };

async function serve(handle: Serve): Promise<{ path: string }> {
  const server = httpServer("the test", silentLog, handle);
  const address = { path: join(folder, `${servers.push(server)}.sock`) };
  await listen(server, address, OPTIONS);
  return address;
}

const ask = async (to: ServerAddress, call: Omit<HttpCall, "to" | "path"> = {}, max?: number) =>
  fetchReply({ to, path: "/", ...call }, max);

test("a request and its answer, at a Unix socket and by TCP", async () => {
  const echo: Serve = async (request, response) => {
    const body = await readBody(request, 100);
    sendAnswer(response, jsonAnswer([request.method, request.url, request.headers.accept, body.toString()], 201));
  };
  const unix = await serve(echo);
  const server = httpServer("the test", silentLog, echo);
  servers.push(server);
  await listen(server, { host: "127.0.0.1", port: 0 }, OPTIONS);
  const { port } = server.address() as { port: number };
  for (const to of [unix, { host: "127.0.0.1", port }]) {
    const call = { to, method: "PUT", path: "/a?b", headers: { Accept: "x" }, body: "grün" };
    const { status, headers, body } = await fetchReply(call);
    assert.deepEqual(
      [status, headers["content-type"], JSON.parse(body.toString())],
      [201, "application/json", ["PUT", "/a?b", "x", "grün"]],
    );
    assert.equal(Number(headers["content-length"]), body.length);
  }
});

test("answers without a body have no type, and 204 has no length", async () => {
  const to = await serve(async ({ url }, response) => sendAnswer(response, { status: Number(url!.slice(1)) }));
  const headersOf = async (status: number) => {
    const reply = await fetchReply({ to, path: `/${status}` });
    assert.equal(reply.status, status);
    return [reply.headers["content-type"], reply.headers["content-length"]];
  };
  assert.deepEqual(await headersOf(200), [undefined, "0"]);
  assert.deepEqual(await headersOf(204), [undefined, undefined]);
});

test("an error with a code keeps its status, message and next step, as text or JSON; any other error is 500", () => {
  const error = new WeaveError("WEAVE_NAMESPACE", "there is none", { next: "look" });
  assert.deepEqual(errorAnswer(error), { status: 404, body: "there is none\nlook\n" });
  assert.deepEqual(errorAnswer(error, "application/json"), {
    status: 404,
    type: "application/json",
    body: '{"code":"WEAVE_NAMESPACE","message":"there is none","next":"look"}',
  });
  assert.deepEqual(errorAnswer(new Error("odd")), { status: 500, body: "odd\n" });
  assert.equal(
    errorAnswer(new Error("odd"), "text/html, application/json;q=1").body,
    '{"code":"WEAVE_API","message":"odd"}',
  );
});

test("a request body beyond the limit is answered with 413, and the server goes on", async () => {
  const to = await serve(async (request, response) => {
    try {
      await readBody(request, 10);
      sendAnswer(response, {});
    } catch (error) {
      sendAnswer(response, errorAnswer(error));
    }
  });
  assert.equal((await ask(to, { method: "POST", body: "0123456789" })).status, 200);
  const { status, headers, body } = await ask(to, { method: "POST", body: Buffer.alloc(300_000) });
  assert.deepEqual([status, headers.connection], [413, "close"]);
  assert.equal(body.toString(), "the request body is longer than 10 bytes\n");
  assert.equal((await ask(to)).status, 200);
});

test("after the prefix of a long message the rest can be read", async () => {
  const sent = Buffer.from(Array.from({ length: 300_000 }, (_, index) => index % 251));
  const to = await serve(async (request, response) => {
    const { bytes, complete } = await readPrefix(request, 1_000);
    assert.ok(!complete && bytes.length > 1_000);
    request.unshift(bytes);
    sendAnswer(response, { body: (await readBody(request, 300_000)).equals(sent) ? "same" : "other" });
  });
  assert.equal((await ask(to, { method: "POST", body: sent })).body.toString(), "same");
});

test("an answer beyond the client's limit is refused, and its connection closed", async () => {
  let closed: Promise<unknown> | undefined;
  const to = await serve(async (_request, response) => {
    closed = new Promise((resolve) => response.once("close", resolve));
    sendAnswer(response, { body: "x".repeat(10_000_000) });
  });
  await assert.rejects(ask(to, {}, 1_000), {
    code: "WEAVE_MESSAGE_TOO_LARGE",
    message: "the response body is longer than 1000 bytes",
  });
  await closed;
});

test("when a client disconnects, its signal is aborted, and reading an incomplete body fails", async () => {
  const events: string[] = [];
  const to = await serve(async (request, response, signal) => {
    try {
      await readBody(request, 100);
      signal.addEventListener("abort", () => events.push("gone"));
      if (request.url === "/quick") sendAnswer(response, {});
    } catch {
      events.push("broken");
    }
  });
  await fetchReply({ to, path: "/quick" });
  await sleep(20);
  assert.deepEqual(events, [], "an answer that was sent aborts nothing");
  const stop = new AbortController();
  const waiting = ask(to, { signal: stop.signal });
  await sleep(50);
  stop.abort();
  await assert.rejects(waiting, { name: "AbortError" });
  const socket = connect(to.path);
  socket.write("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf");
  await sleep(50);
  socket.destroy();
  await sleep(50);
  assert.deepEqual(events, ["gone", "broken"]);
});

test("time limits: for an answer that does not begin, and for one that stops midway", async () => {
  const to = await serve(async ({ url }, response) => {
    if (url === "/half") response.writeHead(200, { "Content-Length": "10" }).write("half");
  });
  const late = { message: "no answer within 0.05 s" };
  await assert.rejects(ask(to, { answerMs: 50 }), late);
  await assert.rejects(fetchReply({ to, path: "/half", answerMs: 50 }), late);
  const incoming = await openReply({ to, path: "/half" });
  assert.equal(incoming.statusCode, 200);
  incoming.destroy();
  await assert.rejects(fetchReply({ to: { path: join(folder, "none.sock") }, path: "/" }), { code: "ENOENT" });
});

test("the limit for the connection does not apply to the answer", async () => {
  const to = await serve(async (_request, response) => {
    await sleep(150);
    sendAnswer(response, { body: "late" });
  });
  assert.equal((await ask(to, { connectMs: 50 })).body.toString(), "late");
});

test("an answer without an end is refused behind another one: it would outlive its connection", async () => {
  const open = new Set<unknown>();
  const to = await serve(async (_, response) =>
    sendAnswer(response, {
      type: "text/event-stream",
      stream: (stream) => {
        open.add(stream);
        stream.once("close", () => open.delete(stream));
        stream.write("data: 1\n\n");
      },
    }),
  );
  const client = connect(to.path);
  client.write("GET / HTTP/1.1\r\nHost: h\r\n\r\n".repeat(3));
  while (open.size === 0) await sleep(5);
  await sleep(50);
  assert.equal(open.size, 1);
  client.destroy();
  for (let waited = 0; open.size > 0 && waited < 2_000; waited += 5) await sleep(5);
  assert.equal(open.size, 0);
});

test("a stream does not begin for a client that has left meanwhile", async () => {
  let begun = 0;
  let left = false;
  const to = await serve(async (_, response, signal) => {
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    sendAnswer(response, { stream: () => begun++ });
    left = true;
  });
  const client = connect(to.path);
  client.write("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  await sleep(30);
  client.destroy();
  while (!left) await sleep(5);
  assert.equal(begun, 0);
});
