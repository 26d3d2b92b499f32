import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import {
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { type ListenOptions, listen, parseServerAddress, removeAbandonedSocket } from "#src/http/listen.js";

const folder = mkdtempSync(join(tmpdir(), "weave-listen-"));
const servers: Server[] = [];
after(() => {
  for (const server of servers) server.close();
  rmSync(folder, { recursive: true, force: true });
});

const OPTIONS = { name: "the test", remedy: "Choose another with --test." };
const REMEDY = /Choose another with --test\.$/;
const isRoot = process.getuid?.() === 0;

/** @returns the server that listens */
async function listenAt(path: string, options: Partial<ListenOptions> = {}): Promise<Server> {
  const server = createServer();
  servers.push(server);
  await listen(server, { path }, { ...OPTIONS, ...options });
  return server;
}

/** A socket whose process is gone. */
async function abandoned(name: string): Promise<string> {
  const path = join(folder, name);
  const script = `require("node:net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`;
  await new Promise((resolve) => spawn(process.execPath, ["-e", script]).once("close", resolve));
  assert.ok(lstatSync(path).isSocket());
  return path;
}

test("a socket left by a crash is replaced, and has the requested mode", async () => {
  const path = await abandoned("stale.sock");
  await listenAt(path, { mode: 0o640 });
  assert.equal(statSync(path).mode & 0o777, 0o640);
});

test("only an abandoned socket is removed: one that is served, a file and a missing one are left", async () => {
  const [left, served, file] = [await abandoned("left.sock"), join(folder, "served.sock"), join(folder, "plain")];
  await listenAt(served);
  writeFileSync(file, "");
  for (const path of [left, served, file, join(folder, "missing")]) await removeAbandonedSocket(path);
  assert.deepEqual([left, served, file].map(existsSync), [false, true, true]);
});

test("a file, a folder, a symbolic link and a pipe stay where they are", async () => {
  const file = join(folder, "file");
  writeFileSync(file, "precious");
  await assert.rejects(listenAt(file), {
    code: "WEAVE_API",
    message: /file: it is a file, not a socket$/,
    next: REMEDY,
  });
  assert.equal(readFileSync(file, "utf8"), "precious");

  const directory = join(folder, "directory");
  mkdirSync(directory);
  await assert.rejects(listenAt(directory), { code: "WEAVE_API", message: /it is a folder, not a socket$/ });
  assert.ok(statSync(directory).isDirectory());

  // Also one that leads to a socket without a server.
  const link = join(folder, "link");
  symlinkSync(await abandoned("behind-link.sock"), link);
  await assert.rejects(listenAt(link), { message: /it is a symbolic link, not a socket$/ });
  assert.ok(lstatSync(link).isSymbolicLink());
  assert.ok(existsSync(join(folder, "behind-link.sock")));

  const fifo = join(folder, "fifo");
  await new Promise((resolve) => spawn("mkfifo", [fifo]).once("close", resolve));
  await assert.rejects(listenAt(fifo), { message: /it is a device or a pipe, not a socket$/ });
  assert.ok(lstatSync(fifo).isFIFO());
});

test("a socket that another process serves stays, and goes on serving", async () => {
  const path = join(folder, "live.sock");
  const script = `require("node:net").createServer((s) => s.end("alive")).listen(${JSON.stringify(path)}, () => console.log("ready"))`;
  const other = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    await new Promise((resolve) => other.stdout.once("data", resolve));
    const { ino } = statSync(path);
    await assert.rejects(listenAt(path), {
      code: "WEAVE_PORT_IN_USE",
      message: `the test cannot listen on ${path}: another process uses it`,
      next: /ss -lxp.*Choose another with --test\.$/,
    });
    await assert.rejects(listenAt(path, { code: "WEAVE_PLUGIN", anyOwner: true }), { code: "WEAVE_PLUGIN" });
    assert.equal(statSync(path).ino, ino);
  } finally {
    other.kill();
  }
});

test("an abandoned socket of another user stays, unless the caller changes the owner of its sockets", {
  skip: !isRoot && "needs root, to make a socket of another user",
}, async () => {
  const path = await abandoned("other.sock");
  chownSync(path, 4_242, 4_242);
  await assert.rejects(listenAt(path), { code: "WEAVE_API", message: /it is a socket of user 4242$/, next: REMEDY });
  assert.equal(statSync(path).uid, 4_242);
  await listenAt(path, { anyOwner: true });
  assert.equal(statSync(path).uid, 0);
});

test("missing folders are made; a path that is too long or leads through a file is rejected", async () => {
  await listenAt(join(folder, "new/deep/a.sock"));
  assert.deepEqual(readdirSync(join(folder, "new/deep")), ["a.sock"]);
  await assert.rejects(listenAt(`/${"x".repeat(107)}`), { code: "WEAVE_API", message: /at most 107 bytes$/ });
  writeFileSync(join(folder, "no-folder"), "");
  await assert.rejects(listenAt(join(folder, "no-folder/a.sock")), { code: "WEAVE_API", message: /ENOTDIR|EEXIST/ });
});

test("a port in use is named, with the next step; another server can listen after a failure", async () => {
  const first = createServer();
  servers.push(first);
  await listen(first, { host: "127.0.0.1", port: 0 }, OPTIONS);
  const { port } = first.address() as { port: number };
  const second = createServer();
  servers.push(second);
  await assert.rejects(listen(second, { host: "127.0.0.1", port }, OPTIONS), {
    code: "WEAVE_PORT_IN_USE",
    message: `the test cannot listen on 127.0.0.1:${port}: another process uses it`,
    next: "Find it with 'ss -ltnp'. Choose another with --test.",
  });
  await listen(second, { host: "127.0.0.1", port: 0 }, OPTIONS);
  await assert.rejects(listen(createServer(), { host: "192.0.2.1", port: 0 }, OPTIONS), { code: "WEAVE_API" });
});

test("addresses are host:port, :port or an absolute path", () => {
  assert.deepEqual(parseServerAddress("127.0.0.1:6784"), { host: "127.0.0.1", port: 6_784 });
  assert.deepEqual(parseServerAddress(":6784"), { host: "0.0.0.0", port: 6_784 });
  assert.deepEqual(parseServerAddress("/run/a.sock"), { path: "/run/a.sock" });
  for (const text of ["", "nowhere", "a:b", "a:65536", "a:123456", "run/a.sock"])
    assert.throws(() => parseServerAddress(text), { code: "WEAVE_FLAG_INVALID" }, text);
});
