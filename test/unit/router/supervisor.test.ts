import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { writePid } from "#src/pid-file.js";
import { ROOT } from "#test/lab/docs/pages.js";
import { programMissing } from "#test/lab/requirements.js";
import { until } from "#test/lab/wait.js";

const FOLDER = join(ROOT, "router/supervisor");
const EMULATORS: Readonly<Record<string, string>> = { x64: "qemu-x86_64-static", arm64: "qemu-aarch64-static" };
const OWN = [join(FOLDER, `linux-${process.arch}`)];
/** As a router does when it is ready. */
const READY = `printf '{"pid":%s,"started":"1"}' $$ >"$RUN/router.pid"`;
/** Counts the starts, with the arguments of each. A router takes longer to start than the file to be written. */
const COUNT = `while [ ! -s "$RUN/supervisor.pid" ]; do sleep 0.01; done; echo "$*" >>"$RUN/starts"`;

/** A supervisor of a shell script in the place of a router. */
class Supervised {
  readonly folder = mkdtempSync(join(tmpdir(), "weave-supervisor-"));
  readonly process: ChildProcess;
  readonly ended: Promise<[code: number | null, signal: string | null]>;

  constructor(script: string, options: readonly string[] = [], program: readonly string[] = OWN) {
    const router = join(this.folder, "router");
    writeFileSync(router, `#!/bin/sh\n${COUNT}\n${script}\n`);
    chmodSync(router, 0o700);
    const [file, ...words] = [
      ...program,
      ...options,
      this.folder,
      join(this.folder, "log/router.log"),
      router,
      "--flag",
    ];
    this.process = spawn(file, words, { stdio: "ignore", env: { ...process.env, RUN: this.folder } });
    this.ended = new Promise((resolve) => this.process.once("exit", (code, signal) => resolve([code, signal])));
    if (!options.includes("--replace")) writePid(join(this.folder, "supervisor.pid"), this.process.pid!);
  }

  /** A file of the run folder; empty while it does not exist. */
  file(name: string): string {
    try {
      return readFileSync(join(this.folder, name), "utf8");
    } catch {
      return "";
    }
  }

  get starts(): string[] {
    return this.file("starts").split("\n").slice(0, -1);
  }

  get log(): { level: string; time: string; why: string; afterMs?: number; msg: string }[] {
    const lines = this.file("log/router.log").split("\n").slice(0, -1);
    return lines.map((line) => JSON.parse(line));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.process.kill("SIGTERM");
    await this.ended;
    rmSync(this.folder, { recursive: true });
  }
}

/** What each build of the program does. */
async function check(program: readonly string[]): Promise<void> {
  await using supervised = new Supervised(
    `${READY}; [ -s "$RUN/end" ] && exit 0; echo "one
 \\"two\\" \\\\" >&2; exit 7`,
    ["--restarted", "--replace"],
    program,
  );
  // A router that replaces another writes the supervisor's file itself.
  writePid(join(supervised.folder, "supervisor.pid"), supervised.process.pid!);
  await until("it is started for the third time", () => supervised.starts.length >= 3);
  assert.deepEqual(supervised.starts.slice(0, 3), [
    "--flag --restarted --replace",
    "--flag --restarted",
    "--flag --restarted",
  ]);
  assert.equal(supervised.file("failure"), 'one\n "two" \\\n');
  const [first, second] = supervised.log;
  const { time, ...rest } = first;
  const msg = "the router has ended; it is started again";
  assert.deepEqual(rest, { level: "error", why: 'one\n "two" \\', afterMs: 50, msg });
  assert.ok(Math.abs(Date.parse(time) - Date.now()) < 60_000 && new Date(time).toISOString() === time, time);
  assert.equal(second.afterMs, 100);
  writeFileSync(join(supervised.folder, "end"), "now");
  assert.deepEqual(await supervised.ended, [0, null]);
  assert.equal(supervised.file("supervisor.pid"), "");
}

for (const [architecture, emulator] of Object.entries(EMULATORS)) {
  const own = architecture === process.arch;
  test(`the supervisor for ${architecture} starts a router again, after growing delays, and ends with it`, {
    skip: own ? undefined : programMissing(emulator, "qemu-user-static"),
  }, async () => {
    await check([...(own ? [] : [emulator]), join(FOLDER, `linux-${architecture}`)]);
  });
}

test("the supervisor built from its source does the same", {
  skip:
    programMissing("gcc", "gcc") ??
    programMissing("strip", "binutils") ??
    programMissing("/usr/include/linux/fcntl.h", "linux-libc-dev"),
}, async () => {
  const folder = mkdtempSync(join(tmpdir(), "weave-supervisor-built-"));
  try {
    const built = spawnSync(join(FOLDER, "build.sh"), ["--native", join(folder, "supervisor")], { encoding: "utf8" });
    assert.equal(built.status, 0, built.stderr);
    await check([join(folder, "supervisor")]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a router that was not ready at its first start is not started again, and its status is passed on", async () => {
  await using supervised = new Supervised("echo ' the reason' >&2; exit 9");
  assert.deepEqual(await supervised.ended, [9, null]);
  assert.deepEqual([supervised.starts, supervised.file("failure")], [["--flag"], "the reason\n"]);
  assert.deepEqual(
    supervised.log.map(({ why, msg }) => [why, msg]),
    [["the reason", "the router did not start"]],
  );
  assert.equal(supervised.file("supervisor.pid"), "");
});

test("with --no-restart a router that was ready is not started again", async () => {
  await using supervised = new Supervised(`${READY}; kill -SEGV $$`, ["--no-restart"]);
  assert.deepEqual(await supervised.ended, [1, null]);
  assert.deepEqual(
    [supervised.starts, supervised.file("failure")],
    [["--flag"], "The router has ended: it was ended by SIGSEGV\n"],
  );
});

test("a supervisor that another one has replaced starts no router", async () => {
  await using supervised = new Supervised(`${READY}; printf '{"pid":1,"started":"1"}' >"$RUN/supervisor.pid"; exit 3`);
  assert.deepEqual(await supervised.ended, [3, null]);
  assert.deepEqual([supervised.starts, supervised.file("supervisor.pid")], [["--flag"], '{"pid":1,"started":"1"}']);
});

test("SIGTERM ends the router too, SIGHUP neither, and one that does not end is killed", async () => {
  await using supervised = new Supervised(
    `trap 'echo TERM >>"$RUN/signals"' TERM; ${READY}; while :; do sleep 0.1; done`,
  );
  await until("it is ready", () => supervised.file("router.pid") !== "");
  const router = Number(/\d+/.exec(supervised.file("router.pid"))![0]);
  supervised.process.kill("SIGHUP");
  supervised.process.kill("SIGTERM");
  assert.deepEqual(await supervised.ended, [0, null]);
  assert.throws(() => process.kill(router, 0), /ESRCH/);
  assert.equal(supervised.file("signals"), "TERM\n");
  assert.deepEqual(
    supervised.log.map(({ msg }) => msg),
    ["the router did not end in time; it was killed"],
  );
});

test("a supervisor that waits before a start ends by SIGINT at once", async () => {
  await using supervised = new Supervised("exit 1", ["--restarted"]);
  await until("the delay is long", () => supervised.log.some(({ afterMs = 0 }) => afterMs > 300));
  supervised.process.kill("SIGINT");
  assert.deepEqual(await supervised.ended, [0, null]);
});

test("of standard error the last 2,048 bytes are kept, as valid UTF-8 in the log; a program that it passes on does not delay the end", async () => {
  const long = `i=0; while [ $i -lt 500 ]; do echo "line $i of many" >&2; i=$((i + 1)); done`;
  await using supervised = new Supervised(`${long}; printf 'ä\\001\\377\\355\\240\\200€' >&2; sleep 5 & exit 1`);
  const began = Date.now();
  assert.deepEqual(await supervised.ended, [1, null]);
  assert.ok(Date.now() - began < 4_000);
  const [{ why }] = supervised.log;
  assert.ok(why.endsWith("line 499 of many\nä\u0001\ufffd\ufffd\ufffd\ufffd€"), why);
  assert.doesNotMatch(why, /line 300 /);
  assert.equal(readFileSync(join(supervised.folder, "failure")).length, 2_049);
});

test("a router that cannot be started is tried again", async () => {
  await using supervised = new Supervised(`${READY}; rm "$RUN/router"; exit 1`);
  await until("the reason is there", () => supervised.file("failure").endsWith("/router: ENOENT\n"));
  const path = join(supervised.folder, "router");
  writeFileSync(path, `#!/bin/sh\necho again >"$RUN/again"; exit 0\n`);
  chmodSync(path, 0o700);
  assert.deepEqual(await supervised.ended, [0, null]);
  assert.equal(supervised.file("again"), "again\n");
});

/** A file is in the place of the log's folder. */
test("lines for a log that cannot be written are written later", async () => {
  await using supervised = new Supervised(`[ "$(wc -l <"$RUN/starts")" = 1 ] && : >"$RUN/log"; exit 1`, [
    "--restarted",
  ]);
  await until("it has ended three times", () => supervised.starts.length >= 3);
  rmSync(join(supervised.folder, "log"));
  await until("the lines are there", () => supervised.log.length > 0);
  assert.equal(supervised.log[0].afterMs, 50);
});
