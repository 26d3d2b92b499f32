import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { documentText, wantsJson } from "#cli/json/document.js";
import type { DocumentShape } from "#cli/json/shape.js";
import { SHAPES } from "#cli/json/shapes.js";
import { connection } from "#cli/json/status-documents.js";
import { COMMANDS, type CommandRow } from "#cli/support/command-table.js";
import { exactJson } from "#router/api/template.js";
import { shapeFaults } from "#test/lab/json-shape.js";

/** Commands whose output is no data, or that print nothing on standard output, with the reason. */
const WITHOUT_JSON: Readonly<Record<string, string>> = {
  connect: "prints nothing",
  forget: "prints nothing",
  prime: "prints nothing",
  "dns-add": "prints nothing",
  "dns-remove": "prints nothing",
  stop: "prints nothing",
  restart: "prints nothing",
  reset: "prints nothing",
  backup: "prints a file, or nothing",
  restore: "prints nothing",
  completion: "prints a script for a shell",
  help: "prints text for people",
};

test("every command that prints has --json and a shape, or a reason why not", () => {
  const shaped = Object.values<DocumentShape>(SHAPES).flatMap(({ commands }) =>
    commands.map((command) => command.split(" ")[0]),
  );
  for (const [name, row] of Object.entries<CommandRow>(COMMANDS)) {
    const has = name === "launch" || row.flags?.json !== undefined;
    assert.equal(has, WITHOUT_JSON[name] === undefined, name);
    assert.equal(shaped.includes(name), has, name);
  }
});

/** Runs the real command on a host without a router. */
function weave(...args: string[]): { code: number | null; stdout: string; stderr: string } {
  const env = { ...process.env, WEAVE_RUN_DIR: "/nonexistent/weave", WEAVE_HTTP_ADDR: "/nonexistent/weave/socket" };
  const { status, stdout, stderr } = spawnSync(process.execPath, ["bin/weave", ...args], { encoding: "utf8", env });
  return { code: status, stdout, stderr };
}

test("with --json an error is one line of JSON on standard error, and the exit status stays", () => {
  for (const [code, status, ...args] of [
    ["WEAVE_NOT_RUNNING", "1", "status", "--json"],
    ["WEAVE_NOT_RUNNING", "1", "identity", "-json"],
    ["WEAVE_USAGE", "1", "status", "conections", "--json"],
    ["WEAVE_USAGE", "1", "ps", "--json", "--bogus"],
    ["WEAVE_FLAG_UNKNOWN", "125", "launch", "--json", "--bogus"],
    ["WEAVE_API", "1", "env", "--restore", "--json"],
  ]) {
    const result = weave(...args);
    assert.deepEqual([result.code, result.stdout], [Number(status), ""], args.join(" "));
    assert.match(result.stderr, /^[^\n]+\n$/);
    assert.deepEqual(shapeFaults("error", result.stderr), []);
    assert.equal((JSON.parse(result.stderr) as { Code: string }).Code, code, args.join(" "));
  }
  assert.match(weave("status").stderr, /^weave is not running/);
});

test("with --json a variable that is wrong is an error in JSON, too", () => {
  const options = { encoding: "utf8", env: { ...process.env, WEAVE_RUN_DIR: "rel" } } as const;
  const { stderr } = spawnSync(process.execPath, ["bin/weave", "status", "--json"], options);
  assert.equal((JSON.parse(stderr) as { Code: string }).Code, "WEAVE_FLAG_INVALID");
});

test("--json behind -- is an argument", () => {
  assert.deepEqual(
    [wantsJson(["a", "--json"]), wantsJson(["--", "--json"]), wantsJson(["--jsonx"])],
    [true, false, false],
  );
});

test("a number of 64 bits is text, exactly", () => {
  assert.equal(JSON.parse(documentText("version", { Command: 2n ** 64n - 1n })).Command, "18446744073709551615");
  assert.equal(exactJson({ UID: 2n ** 63n + 1n }), '{"UID":"9223372036854775809"}');
});

test("a document that differs from its shape is found", () => {
  const text = (fields: object) => documentText("ps", fields);
  const good = { Attachments: [{ Id: "a", Mac: "m", Addresses: ["10.32.0.1/12"] }], Missing: [] };
  assert.deepEqual(shapeFaults("ps", text(good)), []);
  assert.deepEqual(shapeFaults("ps", text({ ...good, Missing: [{ Id: 7 }] })), [
    ".Missing[].Id is no text: 7",
    ".Missing[].Why is missing",
  ]);
  assert.deepEqual(shapeFaults("ps", text({ ...good, More: 1 })), [".More is not described"]);
  assert.deepEqual(shapeFaults("version", documentText("version", { Command: "1", Router: null })), []);
  assert.deepEqual(shapeFaults("ps", documentText("version", good)), ['Schema is "weave.version/1"']);
});

test("a connection has the peer of this host's own link, the carrier and the reason without quotes", () => {
  const links = [{ Name: "02::2", NickName: "h2", Address: "10.0.0.2:6783", Outbound: true, Established: true }];
  const router = {
    Name: "02::1",
    Peers: [{ Name: "02::1", NickName: "h1", UID: 1n, ShortID: 0, Version: 1, Connections: links }],
  };
  const report = { Address: "10.0.0.2:6783", Outbound: true, State: "established", Info: "encrypted   stream x" };
  const Attrs = {
    name: "stream",
    encrypted: true,
    reason: '"UDP does not pass: no answer for 12 s"',
    since: "2026-01-01T00:00:00.000Z",
  };
  const { Peer, Carrier, Reason, Mtu } = connection({ ...report, Attrs }, router);
  assert.deepEqual([Peer, Carrier, Reason, Mtu], ["02::2", "stream", "UDP does not pass: no answer for 12 s", null]);
  // A host that was refused at the same address is not the peer.
  assert.equal(connection({ ...report, State: "failed", Attrs: null }, router).Peer, null);
});
