import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { Worker } from "node:worker_threads";
import type { DockerOptions } from "#docker/flags.js";
import type { ProxyCall } from "#docker/proxy/call.js";
import { forwardAnswer, forwardRequest } from "#docker/proxy/pipe.js";
import { ApiProxy } from "#docker/proxy/proxy.js";
import { silentLog } from "#src/log.js";
import { EngineClient, repeat } from "#test/lab/engine-calls.js";
import { until } from "#test/lab/wait.js";

const folder = mkdtempSync(join(tmpdir(), "weave-pipe-"));
const closers: (() => void)[] = [];
after(() => {
  for (const close of closers) close();
  rmSync(folder, { recursive: true, force: true });
});

let count = 0;

/** Answers a request when it has the body {"a":1}, and closes immediately if the request has `Connection: close`. */
const QUICK = `
  const { parentPort, workerData } = require("node:worker_threads");
  const server = require("node:net").createServer((socket) => {
    let text = "";
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      text += chunk;
      if (!text.endsWith('{"a":1}')) return;
      const close = /connection: close/i.test(text);
      text = "";
      socket.write("HTTP/1.1 201 Created\\r\\nContent-Length: 4\\r\\n\\r\\ndone");
      if (close) socket.destroy();
    });
  });
  server.listen(workerData, () => parentPort.postMessage("ready"));
`;

/** Behaviour of an engine at each chunk of a connection: it receives bytes, and may close at any time. */
type Behaviour = (socket: Socket, seen: () => string) => void;

/** An engine that behaves badly, and the proxy in front of it. */
async function behind(behaviour: (connection: number) => Behaviour, look?: Look) {
  const engine = join(folder, `engine${count}.sock`);
  const path = join(folder, `proxy${count++}.sock`);
  let connections = 0;
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    const behave = behaviour(connections++);
    let text = "";
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
      behave(socket, () => text);
    });
    // After the rest of its answer.
    socket.on("end", () => setTimeout(() => socket.end(), 100));
  });
  server.listen(engine);
  await once(server, "listening");
  closers.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const client = await proxyOf(engine, path, look);
  return { client, path, connections: () => connections, open: () => sockets.size };
}

/** Examines a call before it is forwarded. */
type Look = (call: ProxyCall) => Promise<void>;

/** A client of a proxy at `path` in front of an engine. @param look runs before a call is forwarded */
async function proxyOf(engine: string, path: string, look?: Look): Promise<EngineClient> {
  const address = { socketPath: engine };
  const options = { listen: [path], tls: "off" } as unknown as DockerOptions;
  const proxy = await ApiProxy.open({ engine: address, log: silentLog }, options);
  if (look !== undefined)
    proxy.serve({
      handlerOf: () => async (call) => {
        await look(call);
        forwardAnswer(await forwardRequest({ address, request: call.request }), call.response);
      },
    });
  const client = new EngineClient(path);
  closers.push(() => {
    client.close();
    void proxy.close();
  });
  return client;
}

const answer = (body: string, status = "200 OK", more = "") =>
  `HTTP/1.1 ${status}\r\nContent-Length: ${body.length}\r\n${more}\r\n${body}`;
const CLOSE = "Connection: close\r\n";
/** Number of complete requests of `POST /x` with the body `{"a":1}` in a text. */
const requests = (text: string) => text.split('{"a":1}').length - 1;
const post = (client: EngineClient) => client.call("POST", "/x", { a: 1 });

test("the answer of an engine that closes as soon as it has the body arrives", async () => {
  const engine = join(folder, "quick.sock");
  // On its own thread, so that it can close between two writes of the proxy, as an engine does.
  const worker = new Worker(QUICK, { eval: true, workerData: engine });
  closers.push(() => void worker.terminate());
  await once(worker, "message");
  const client = await proxyOf(engine, join(folder, "before-quick.sock"));
  const { failures } = await repeat(3_000, async () => {
    const { status, body } = await post(client);
    assert.deepEqual([status, body.toString()], [201, "done"]);
  });
  assert.deepEqual(failures, []);
});

test("the answer of an engine that resets the connection before it has read all arrives", async () => {
  const { client } = await behind(() => (socket) => {
    socket.pause();
    socket.removeAllListeners("data");
    // Unread bytes make the kernel reset the connection.
    socket.write(answer("no such thing", "404 Not Found", CLOSE), () => socket.destroy());
  });
  const large = Buffer.alloc(3 << 20);
  const { failures } = await repeat(100, async (i) => {
    const body = i % 2 === 0 ? large : Array.from({ length: 64 }, () => Buffer.alloc(32_768));
    assert.equal((await client.call("PUT", "/archive", body)).status, 404);
  });
  assert.deepEqual(failures, []);
});

test("a body that arrives in chunks, long after its head, passes unchanged", async () => {
  const { path } = await behind(() => (socket, seen) => {
    if (seen().endsWith("the end")) socket.write(answer(String(seen().length - seen().indexOf("\r\n\r\n") - 4)));
  });
  const socket = connect(path);
  socket.write("POST /load HTTP/1.1\r\nHost: x\r\nContent-Length: 17\r\n\r\n");
  for (const chunk of ["0123456789", "the", " end"]) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    socket.write(chunk);
  }
  const [text] = await once(socket, "data");
  assert.match(String(text), /200 OK[\s\S]*\r\n\r\n17$/);
  socket.destroy();
});

test("a client's connection has one to the engine, which ends with it", async () => {
  const { client, connections, open } = await behind(() => (socket, seen) => {
    assert.match(seen(), /Connection: keep-alive/);
    assert.doesNotMatch(seen(), /chunked/, "without a body there are no chunks");
    socket.write(answer("ok"));
  });
  for (let i = 0; i < 20; i++) assert.equal((await client.call("POST", "/x")).status, 200);
  assert.deepEqual([connections(), open()], [1, 1]);
  client.close();
  await until("the engine's connection has ended", () => open() === 0);
});

test("an idle connection that the engine has closed is replaced, for calls of any kind", async () => {
  const { client, connections } = await behind(() => (socket, seen) => {
    // Without an answer, as an engine that ends.
    if (requests(seen()) === 1) socket.write(answer("ok"), () => setTimeout(() => socket.destroy(), 5));
  });
  for (let i = 0; i < 10; i++) {
    assert.equal((await post(client)).status, 200);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  assert.equal(connections(), 10);
});

test("a call that the engine may have carried out is repeated only if it changes nothing", async () => {
  let received = 0;
  const { client } = await behind(() => (socket, seen) => {
    const whole = seen().split("\r\n\r\n").length - 1;
    received++;
    if (whole > 1) socket.destroy();
    else socket.write(answer("ok"));
  });
  assert.equal((await client.call("GET", "/x")).status, 200);
  received = 0;
  assert.equal((await client.call("GET", "/x")).status, 200, "sent again, by another connection");
  assert.equal(received, 2);
  received = 0;
  const { status, body } = await client.call("DELETE", "/x");
  assert.equal(status, 502);
  assert.match(body.toString(), /Cannot connect to the Docker engine/);
  assert.equal(received, 1);
});

test("a client that ends its side gets its answer, and the engine sees the end", async () => {
  let ends = 0;
  const { path } = await behind(() => (socket, seen) => {
    if (!seen().endsWith("\r\n\r\n")) return;
    // As Go's server does: it answers the request, and then reads the end.
    socket.once("end", () => ends++);
    setTimeout(() => socket.write(answer("late")), 20);
  });
  for (let i = 1; i <= 10; i++) {
    const socket = connect(path);
    const chunks: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.end("GET /info HTTP/1.1\r\nHost: x\r\n\r\n");
    await once(socket, "close");
    assert.match(Buffer.concat(chunks).toString(), /200 OK[\s\S]*late$/);
    assert.equal(ends, i);
  }
});

test("a call whose client disconnects while it is examined leaves nothing open", async () => {
  const { path, open } = await behind(
    () => () => {},
    async ({ request: { socket } }) => {
      socket.destroy();
      await once(socket, "close");
    },
  );
  const socket = connect(path);
  socket.write("GET /x HTTP/1.1\r\nHost: x\r\n\r\n");
  await once(socket.resume(), "close");
  await new Promise((resolve) => setTimeout(resolve, 50));
  await until("nothing is open", () => open() === 0);
});

test("an answer that breaks off does not look complete", async () => {
  const { client } = await behind(() => (socket) => {
    socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", () => socket.destroy());
  });
  await assert.rejects(client.call("GET", "/logs"));
});

test("a connection ends after an upgrade that stays within HTTP, so that the next call is examined", async () => {
  const { path } = await behind(() => (socket, seen) => {
    // Podman upgrades only if the first of the fields is exactly this; Go joins them all.
    assert.match(seen(), /^Connection: Upgrade\r\nConnection: close\r$/m);
    assert.equal(seen().match(/^connection:/gim)?.length, 2);
    socket.end(answer("", "200 OK", CLOSE));
  });
  const socket = connect(path);
  socket.resume();
  socket.write(
    "POST /exec/1/start HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n",
  );
  await once(socket, "end");
  socket.destroy();
});
