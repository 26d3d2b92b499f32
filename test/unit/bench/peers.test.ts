import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { OVERLAY_NAMES, overlays } from "#test/bench/overlays.js";
import { ROOT } from "#test/lab/docs/pages.js";

/** scripts/peers.sh with a new cache, and with these programs in place of Go and Cargo, each a shell script. */
function peers(t: TestContext, tools: Readonly<Record<string, string>>) {
  const folder = mkdtempSync(join(tmpdir(), "weave-peers-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const bin = join(folder, "bin");
  mkdirSync(bin);
  for (const [name, script] of Object.entries(tools)) {
    writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(bin, name), 0o755);
  }
  const cache = join(folder, "cache");
  const run = (env: NodeJS.ProcessEnv, ...args: string[]) =>
    spawnSync("bash", [join(ROOT, "scripts/peers.sh"), ...args], {
      encoding: "utf8",
      env: { PATH: `${bin}:/usr/bin:/bin`, HOME: folder, WEAVE_PEERS_CACHE: cache, ...env },
    });
  const rows = () =>
    run({}, "--list")
      .stdout.trimEnd()
      .split("\n")
      .map((line) => line.split("\t"));
  return { cache, run, rows };
}

/** Installs a program into the folder that it is given, of the name that the table has. */
const GO = 'name=$GOBIN/$(basename "$2" | cut -d@ -f1); echo "#!/bin/sh" >"$name"; chmod +x "$name"';

test("a peer that cannot be built has its reason, and the others are built", (t) => {
  const { run, rows } = peers(t, { go: GO, cargo: 'echo "error: no route to the registry"; exit 101' });
  const { status, stderr } = run({}, "nebula", "vpncloud");
  assert.equal(status, 0, stderr);
  const list = new Map(rows().map(([name, , folder, reason]) => [name, { folder, reason }]));
  const nebula = list.get("nebula")!.folder;
  for (const program of ["nebula", "nebula-cert"]) assert.ok(existsSync(join(nebula, program)), program);
  assert.match(list.get("vpncloud")!.reason, /cargo failed: error: no route to the registry/);
  assert.match(list.get("gotatun")!.reason, /not built yet/);
});

test("a build that takes too long is ended", (t) => {
  const { run, rows } = peers(t, { cargo: "exec sleep 60", go: "exec sleep 60" });
  const began = performance.now();
  assert.equal(run({ WEAVE_PEERS_SECONDS: "4" }, "boringtun").status, 0);
  assert.ok(performance.now() - began < 30_000);
  assert.match(rows().find(([name]) => name === "boringtun")![3], /not built within 4 s/);
});

test("without Go and Cargo the list gives that reason", (t) => {
  const { run, rows } = peers(t, {});
  // A system's own Go or Cargo would be found there.
  if (existsSync("/usr/bin/go") || existsSync("/usr/bin/cargo")) return t.skip("/usr/bin has a Go or a Cargo");
  assert.equal(run({}).status, 0);
  for (const [name, , folder, reason] of rows()) {
    assert.equal(folder, "-");
    assert.match(reason, /there is no '(?:go|cargo)' on the path/, name);
  }
});

test("an unknown option is rejected, and nothing is built", (t) => {
  const { run, cache } = peers(t, { go: "exit 1" });
  assert.equal(run({}, "--all").status, 2);
  assert.ok(!existsSync(cache));
});

test("each overlay that the command line names is there or missing with a reason", () => {
  const { there, missing } = overlays(new Map([["ours", "/nonexistent/weave"]]), "/nonexistent/weave");
  const all = [...there, ...missing].map(({ name }) => name);
  assert.deepEqual(all.sort(), [...OVERLAY_NAMES].sort());
  for (const { name, reason } of missing) assert.ok(reason.length > 0, name);
});
