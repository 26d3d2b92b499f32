import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { Agent, request } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type Drivers, PluginSockets } from "#docker/plugin/plugin-sockets.js";
import { silentLog } from "#src/log.js";

/** The sockets of Docker's plugin while the router stops: Docker's calls are answered, or do not connect. */

const NETWORK = "4dbcf143949f".padEnd(64, "0");

async function open(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), "weave-plugin-"));
  const options = { pluginSocket: join(folder, "a.sock"), meshSocket: join(folder, "b.sock"), pluginV2: false };
  const sockets = await PluginSockets.open(options, silentLog);
  t.after(async () => {
    await sockets.close();
    rmSync(folder, { recursive: true });
  });
  return { sockets, path: options.pluginSocket };
}

/** Deletes a network by a call of the plugin. @returns the answer's body and whether the connection stays open for another call */
function deleteNetwork(socketPath: string, agent?: Agent): Promise<{ body: unknown; kept: boolean }> {
  return new Promise((resolve, reject) => {
    const path = "/NetworkDriver.DeleteNetwork";
    const sent = request({ socketPath, path, method: "POST", ...(agent ? { agent } : {}) }, async (response) => {
      const text = (await response.setEncoding("utf8").toArray()).join("");
      resolve({ body: JSON.parse(text), kept: response.headers.connection !== "close" });
    });
    sent.on("error", reject).end(JSON.stringify({ NetworkID: NETWORK }));
  });
}

const driversWith = (handle: () => Promise<object>): Drivers =>
  ({ network: { deleteNetwork: handle }, onNodes: () => {} }) as unknown as Drivers;

test("a stop answers the calls in progress, and later ones do not connect", async (t) => {
  const { sockets, path } = await open(t);
  let begun: () => void;
  let finish: (answer: object) => void;
  const called = new Promise<void>((resolve) => {
    begun = resolve;
  });
  sockets.serve(
    driversWith(() => {
      begun();
      return new Promise((resolve) => {
        finish = resolve;
      });
    }),
  );
  const answer = deleteNetwork(path);
  await called;
  const closed = sockets.close();
  await assert.rejects(deleteNetwork(path), /ENOENT/);
  assert.ok(!existsSync(path));
  finish!({ done: true });
  assert.deepEqual((await answer).body, { done: true });
  await closed;
});

test("a stop answers a call whose connection the router has not accepted yet", async (t) => {
  const { sockets, path } = await open(t);
  sockets.serve(driversWith(async () => ({ done: true })));
  // Connected by the kernel; this process has not returned to its event loop since.
  const socket = connect(path);
  const text = JSON.stringify({ NetworkID: NETWORK });
  socket.write(
    `POST /NetworkDriver.DeleteNetwork HTTP/1.1\r\nHost: x\r\nContent-Length: ${text.length}\r\n\r\n${text}`,
  );
  const closed = sockets.close();
  const [bytes] = await once(socket, "data");
  assert.match(String(bytes), /^HTTP\/1\.1 200 [\s\S]*\{"done":true\}/);
  await closed;
});

test("a stop before the router was ready refuses the calls that wait for it", async (t) => {
  const { sockets, path } = await open(t);
  const answer = deleteNetwork(path);
  await new Promise((resolve) => setTimeout(resolve, 50));
  await sockets.close();
  assert.match(JSON.stringify((await answer).body), /weave is starting/);
});

test("a stop does not wait for a call without end", async (t) => {
  const { sockets, path } = await open(t);
  sockets.serve(driversWith(() => new Promise(() => {})));
  const answer = deleteNetwork(path).catch((error: NodeJS.ErrnoException) => error.code);
  await new Promise((resolve) => setTimeout(resolve, 50));
  await sockets.close();
  assert.equal(await answer, "ECONNRESET");
});

test("each call has a connection of its own: none is begun on one that a stop closes", async (t) => {
  const { sockets, path } = await open(t);
  sockets.serve(driversWith(async () => ({})));
  const agent = new Agent({ keepAlive: true });
  t.after(() => agent.destroy());
  assert.equal((await deleteNetwork(path, agent)).kept, false);
});
