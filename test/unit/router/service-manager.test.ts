import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, test } from "node:test";
import { ServiceManager } from "#router/service-manager.js";
import { hasTool } from "#src/linux/exec.js";

/** Notifications to a service manager. Perl, which every Debian has, owns the socket: Node has none of this type. */

const skip = hasTool("perl") ? false : "needs perl";
const RECEIVER = `
use Socket; $| = 1; my $path = $ARGV[0]; $path =~ s/^@/\\0/;
socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die; bind($s, pack("S a*", AF_UNIX, $path)) or die $!;
print "ready\\n"; while (defined(recv($s, my $text, 4096, 0))) { $text =~ s/\\n/|/g; print "$text\\n"; }`;

const folder = mkdtempSync(join(tmpdir(), "weave-notify-"));
const children: ChildProcess[] = [];
after(() => {
  for (const child of children) child.kill("SIGKILL");
  rmSync(folder, { recursive: true });
});

const warnings: string[] = [];
const log = { debug() {}, info() {}, warn: (message: string) => void warnings.push(message), error() {} };

async function receiver(path: string) {
  const child = spawn("perl", ["-e", RECEIVER, path], { stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  assert.equal((await lines.next()).value, "ready");
  return { child, next: async () => (await lines.next()).value as string };
}

for (const path of [join(folder, "notify"), `@weave-test-${process.pid}`])
  test(`states and signs of life reach ${path.startsWith("@") ? "an abstract socket" : "a socket of the file system"}`, {
    skip,
    timeout: 20_000,
  }, async () => {
    const { next } = await receiver(path);
    const env: NodeJS.ProcessEnv = { NOTIFY_SOCKET: path, WATCHDOG_USEC: "30000", WATCHDOG_PID: String(process.pid) };
    const manager = new ServiceManager(log, env);
    assert.deepEqual(Object.keys(env), [], "children do not get them");
    manager.status("starting\nslowly");
    assert.equal(await next(), "STATUS=starting slowly");
    manager.ready("ready");
    assert.equal(await next(), "READY=1|STATUS=ready");
    // Sent by a timer of the event loop.
    const alive = setInterval(() => {}, 1_000);
    assert.equal(await next(), "WATCHDOG=1");
    assert.equal(await next(), "WATCHDOG=1");
    clearInterval(alive);
    manager.stopping();
    let last = await next();
    while (last === "WATCHDOG=1") last = await next();
    assert.equal(last, "STOPPING=1|STATUS=stopping");
    assert.deepEqual(warnings, []);
  });

test("without a service manager nothing is sent; one that is gone is a warning", {
  skip,
  timeout: 20_000,
}, async () => {
  new ServiceManager(log, {}).ready("ready");
  assert.deepEqual(warnings, []);
  const path = join(folder, "gone");
  const { child } = await receiver(path);
  child.kill("SIGKILL");
  await once(child, "exit");
  new ServiceManager(log, { NOTIFY_SOCKET: path }).ready("ready");
  new ServiceManager(log, { NOTIFY_SOCKET: `/${"x".repeat(200)}` }).ready("ready");
  assert.equal(warnings.length, 2);
});
