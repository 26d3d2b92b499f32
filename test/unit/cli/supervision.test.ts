import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { parseLaunch } from "#cli/launch/launch-flags.js";
import { fileVariables, withFile } from "#cli/supervision/environment-file.js";
import { forgetLaunch, isNewLaunch, joined, keepLaunch, keptLaunch } from "#cli/supervision/kept-launch.js";
import { keptLaunchFile } from "#src/paths.js";

/** The options of a launch that come back without a user. */

const folder = mkdtempSync(join(tmpdir(), "weave-kept-"));
after(() => rmSync(folder, { recursive: true }));
process.env.WEAVE_STATE_DIR = join(folder, "state");

/** A launch as typed, with the variables of its shell; then a start of the unit with its variables. */
function comesBack(args: string[], shell: NodeJS.ProcessEnv, unit: NodeJS.ProcessEnv, unitArgs: string[] = []) {
  keepLaunch(parseLaunch(args, { WEAVE_DOCKER_API: "", ...shell }), shell);
  return joined(keptLaunch()!, parseLaunch(unitArgs, { WEAVE_DOCKER_API: "", ...unit }));
}

test("a flag or variable of the launch wins over the variables of the unit, and these over the default", () => {
  const options = comesBack(
    ["--port", "7000", "h1", "h2"],
    { WEAVE_PASSWORD: "typed" },
    { WEAVE_PORT: "7001", WEAVE_PASSWORD: "of the unit", WEAVE_STATUS_ADDR: "127.0.0.1:1234" },
  );
  assert.deepEqual(
    [options.port, options.password, options.statusAddr, options.httpAddr, options.peers],
    [7_000, "typed", "127.0.0.1:1234", "127.0.0.1:6784", ["h1", "h2"]],
  );
  // Typed, although it is the default.
  assert.equal(comesBack(["--port", "6783"], {}, { WEAVE_PORT: "7001" }).port, 6_783);
});

test("flags that decide one thing together are not mixed", () => {
  const password = comesBack(["--password", "typed"], {}, { WEAVE_PASSWORD_FILE: "/etc/other" });
  assert.deepEqual([password.password, password.passwordFile], ["typed", undefined]);
  assert.equal(comesBack(["--no-fastdp"], {}, { WEAVE_MTU: "1400" }).mtu, 65_535);
  assert.equal(comesBack([], {}, { WEAVE_NO_FASTDP: "1" }).mtu, 65_535);
});

test("arguments of the unit count where the launch gave none", () => {
  const options = comesBack(["--nickname", "n1"], {}, {}, ["--nickname", "n2", "--ipalloc-range", "10.2.0.0/16", "h9"]);
  assert.deepEqual([options.nickname, options.ipallocRange, options.peers], ["n1", "10.2.0.0/16", ["h9"]]);
});

test("Docker's options stay as the launch found them, unless a variable of the unit says otherwise", () => {
  const launch = parseLaunch([], { DOCKER_HOST: "tcp://127.0.0.1:2375" });
  keepLaunch(launch, { DOCKER_CERT_PATH: "/certs", PATH: "/bin" });
  const kept = keptLaunch()!;
  const options = joined(kept, parseLaunch([], { WEAVE_DOCKER_API: "", DOCKER_BRIDGE: "br7" }));
  assert.deepEqual(
    [options.docker.api, options.docker.listen],
    [launch.options.docker.api, launch.options.docker.listen],
  );
  assert.equal(options.docker.bridge, "br7");
  assert.deepEqual(kept.variables, { DOCKER_CERT_PATH: "/certs" });
});

test("the stored launch is for root alone, new until a router was ready, and gone after a reset", () => {
  keepLaunch(parseLaunch(["--password", "secret"], { WEAVE_DOCKER_API: "" }), {});
  assert.equal(statSync(keptLaunchFile()).mode & 0o777, 0o600);
  assert.ok(isNewLaunch());
  writeFileSync(keptLaunchFile(), "{");
  assert.throws(() => keptLaunch(), /cannot use the options of the last launch, .*launch-options\.json/);
  writeFileSync(keptLaunchFile(), '{"options":{"port":0},"given":[]}');
  assert.throws(() => keptLaunch(), /--port/);
  forgetLaunch();
  assert.deepEqual([keptLaunch(), isNewLaunch()], [undefined, false]);
});

test("variables are read as systemd reads them, and an error names their file", () => {
  const file = join(folder, "weave.env");
  writeFileSync(
    file,
    "# WEAVE_PORT=1\n; WEAVE_PORT=2\nWEAVE_PASSWORD=\"with space\"\nWEAVE_MTU='9'\nWEAVE_ARGS=--port 1 \\\n  h1\nnonsense\n",
  );
  assert.deepEqual(
    { ...fileVariables(file) },
    { WEAVE_PASSWORD: "with space", WEAVE_MTU: "9", WEAVE_ARGS: "--port 1   h1" },
  );
  assert.deepEqual(fileVariables(join(folder, "missing")), {});
  assert.throws(
    () => parseLaunch([], { WEAVE_DOCKER_API: "", WEAVE_MTU: "9" }),
    (error) => {
      assert.match(
        (withFile(error, file) as { text: string }).text,
        new RegExp(`"9" for WEAVE_MTU.*\nWEAVE_MTU is set in ${file}\\.$`),
      );
      return true;
    },
  );
  writeFileSync(file, "WEAVE_ARGS=--nickname n --nosuch 1\n");
  assert.throws(
    () => parseLaunch(["--nickname", "n", "--nosuch", "1"], { WEAVE_DOCKER_API: "" }),
    (error) => /--nosuch\nWEAVE_ARGS is set in /.test((withFile(error, file) as { text: string }).text),
  );
  writeFileSync(file, "WEAVE_RUN_DIR=/elsewhere\n");
  assert.throws(() => fileVariables(file), /WEAVE_RUN_DIR has no place in .*weave\.env/);
});
