import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { allUsage, helpOf, usageOf } from "#cli/help.js";
import { ALL_FLAGS } from "#cli/launch/launch-flags.js";
import { loadCommand } from "#cli/load-command.js";
import { type CommandRow, COMMANDS as DESCRIBED } from "#cli/support/command-table.js";
import { type Flag, flagText } from "#src/flag.js";
import { nearest } from "#src/nearest.js";

/** Runs the real command. The calls of this file do not change the host. */
function weave(...args: string[]): { code: number | null; stdout: string; stderr: string } {
  return weaveWith({}, ...args);
}

function weaveWith(env: NodeJS.ProcessEnv, ...args: string[]): ReturnType<typeof weave> {
  const options = { encoding: "utf8", env: { ...process.env, ...env } } as const;
  const { status, stdout, stderr } = spawnSync(process.execPath, ["bin/weave", ...args], options);
  return { code: status, stdout, stderr };
}

const described: [string, CommandRow][] = Object.entries(DESCRIBED);

test("every command of the table can be loaded, and is in help and in docs/commands.md", async () => {
  for (const [name] of described)
    if (name !== "help") assert.equal(typeof (await loadCommand(name)).run, "function", name);
  const [all, page] = [await allUsage(), readFileSync("docs/commands.md", "utf8")];
  for (const [name] of described) {
    assert.match(all, new RegExp(`^weave ${name}\\b`, "m"), name);
    assert.ok(page.includes(`weave ${name}`) || page.includes(`· ${name}`) || page.includes(`\`${name}`), name);
  }
});

test("help of a command has the meaning, range, default and variable of each flag", async () => {
  const launch = await helpOf("launch");
  for (const row of Object.values(ALL_FLAGS) as Flag<unknown>[]) {
    assert.ok(launch.includes(flagText(row)), flagText(row));
    if (row.env !== undefined) assert.ok(launch.includes(row.env), row.env);
  }
  assert.match(
    launch,
    / --port <port>\n +TCP for the mesh[^\n]*\n +\(a whole number from 1 to 65535; default: 6783; environment:\n? +WEAVE_PORT\)/,
  );
  for (const [name, { flags = {} }] of described) {
    const help = await helpOf(name);
    for (const row of Object.values(flags) as Flag<unknown>[])
      assert.ok(help.includes(`  ${flagText(row)}`) && row.meaning.length > 5, `${name} ${row.flag}`);
    assert.doesNotMatch(help, /undefined|\{flags\}/, name);
    for (const line of usageOf(name).split("\n")) assert.ok(line.length <= 80, line);
  }
});

test("every form of the help command prints to standard output with status 0", () => {
  const attach = weave("help", "attach");
  assert.deepEqual([attach.code, attach.stderr], [0, ""]);
  assert.match(attach.stdout, /^Usage: weave attach \[<addr> \.\.\.\]/);
  for (const words of [
    ["attach", "--help"],
    ["attach", "-h"],
    ["attach", "x", "--help"],
  ])
    assert.deepEqual(weave(...words), attach, words.join(" "));
  assert.match(weave("launch", "-h").stdout, /^Usage: weave launch/);
  const all = weave("help");
  assert.deepEqual([all.code, all.stderr, all.stdout.split("\n")[0]], [0, "", "Usage:"]);
  assert.deepEqual(weave("--help"), all);
});

test("a wrong argument prints one line with the reason and the command's usage on standard error, with status 1", () => {
  for (const [reason, ...args] of [
    ["unknown flag: --bogus", "attach", "x", "--bogus"],
    ["unexpected argument: extra", "attach", "x", "extra"],
    ["a container is missing: .*", "attach"],
    ["10\\.32\\.0\\.99 has no prefix length: .*", "attach", "10.32.0.99", "netns:a"],
    ["addresses come before the container: 10\\.32\\.0\\.7/12", "attach", "netns:a", "10.32.0.7/12"],
    ['invalid value "soon" for --timeout: it must be seconds from 0 to 86400', "attach", "--timeout", "soon", "x"],
    ["unknown flag: --relpace; did you mean --replace\\?", "connect", "--relpace"],
    ["a peer is missing: .*", "connect"],
    ["a sub-command is missing", "ipam"],
    ["unknown sub-command: list", "ipam", "list"],
    ["a peer is missing: .*", "rmpeer", "--force"],
    ["a name is missing", "dns-lookup"],
    ["unknown flag: --jsno; did you mean --json\\?", "report", "--jsno"],
    ["flag needs an argument: -f; .*", "report", "-f"],
    ["-h is given more than once", "expose", "-h", "a", "-h", "b"],
    ["Invalid 'weave status' sub-command: conections; did you mean connections\\?", "status", "conections"],
    ["unexpected argument: now", "stop", "now"],
  ]) {
    const { code, stdout, stderr } = weave(...args);
    assert.deepEqual([code, stdout], [1, ""], args.join(" "));
    assert.match(stderr, new RegExp(`^${reason}\n\nUsage: weave ${args[0]}( |$)`, "m"), args.join(" "));
    assert.ok(stderr.split("\n").length <= 7, stderr);
  }
});

test("a variable that all commands use is checked first; the error is one line", () => {
  for (const [name, value] of [
    ["WEAVE_HTTP_ADDR", "nonsense"],
    ["WEAVE_HTTP_ADDR", "127.0.0.1:99999"],
    ["WEAVE_HTTP_ADDR", "rel.sock"],
    ["WEAVE_RUN_DIR", "rel"],
    ["WEAVE_LOG_DIR", "rel"],
  ]) {
    const { code, stderr } = weaveWith({ [name]: value }, "status");
    assert.equal(code, 1);
    assert.match(stderr, new RegExp(`^invalid value "${value}" for ${name}: it must be [^\n]+\n$`));
  }
});

test("the error for an unknown command suggests the one that was probably meant", () => {
  for (const [typed, meant] of [
    ["statsu", "status"],
    ["lauch", "launch"],
    ["hlep", "help"],
    ["dnslookup", "dns-lookup"],
  ])
    assert.deepEqual(weave(typed), {
      code: 1,
      stdout: "",
      stderr: `Unknown weave command '${typed}'\nDid you mean 'weave ${meant}'? See 'weave help'.\n`,
    });
  assert.equal(weave("fly").stderr, "Unknown weave command 'fly'\nSee 'weave help'.\n");
  assert.equal(nearest("ps", ["ip", "ab"]), undefined);
  const { code, stderr } = weave("launch-router");
  assert.equal(code, 1);
  assert.match(stderr, /^The 'weave launch-router' command has been removed as of Weave Net version 2\.0\n/);
  assert.match(weave().stderr, /^Usage:\n/);
});
