import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { CNI_PROGRAMS } from "#cli/cni/programs.js";
import { programMissing } from "#test/lab/requirements.js";
import { bodyOf, CniClient, CONFIGURATION, partsOf, reply } from "#test/unit/cli/cni/client.js";

const EMULATORS: Readonly<Record<string, string>> = { x64: "qemu-x86_64-static", arm64: "qemu-aarch64-static" };
const BUILD = new URL("../../../../../cli/cni/build.sh", import.meta.url).pathname;
const VERSIONS = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/** Runs a test with a plugin that is removed afterwards. */
function clientTest(name: string, run: (client: CniClient) => Promise<void>): void {
  test(name, async () => {
    const client = new CniClient();
    try {
      await run(client);
    } finally {
      await client.dispose();
    }
  });
}

/** The error object that a call printed. */
async function errorOf(
  outcome: ReturnType<CniClient["call"]>,
): Promise<{ code: number; msg: string; details?: string; cniVersion: string }> {
  const { code, stdout, stderr } = await outcome;
  assert.deepEqual([code, stderr], [1, ""], stdout);
  return JSON.parse(stdout);
}

/** What each build of the program does. */
async function check(client: CniClient): Promise<void> {
  const versions = await client.call("VERSION", '{"cniVersion": "0.4.0"}');
  assert.deepEqual(JSON.parse(versions.stdout), { cniVersion: "0.4.0", supportedVersions: VERSIONS });
  const requests: Buffer[] = [];
  client.addPlugin("host-local", `echo "$CNI_COMMAND $CNI_IFNAME $(cat)"; exit 3`);
  await client.answerBy((request, count) => {
    requests.push(request);
    return count === 0
      ? reply(202, "", { "weave-delegate": "host-local", "Weave-Delegate-Command": "ADD" })
      : reply(200, '{"ips":[]}');
  });
  assert.deepEqual(await client.call("ADD"), { code: 0, stdout: '{"ips":[]}', stderr: "" });
  assert.match(requests[0].toString(), /^POST \/cni\/net HTTP\/1\.0\r\nContent-Type: application\/x-weave-cni\r\n/);
  const [first, second] = requests.map(partsOf);
  const separator = first.indexOf("");
  assert.deepEqual(
    [...first.slice(0, separator)].sort(),
    [
      "CNI_COMMAND=ADD",
      "CNI_CONTAINERID=c1",
      "CNI_IFNAME=eth0",
      "CNI_NETNS=/run/netns/c1",
      `CNI_PATH=${client.plugins}`,
    ].sort(),
  );
  assert.deepEqual(first.slice(separator), ["", CONFIGURATION]);
  assert.deepEqual(second.slice(separator), ["", CONFIGURATION, "3", `ADD eth0 ${CONFIGURATION}\n`]);
  await client.stopAnswers();
  assert.deepEqual(await client.call("DEL"), { code: 0, stdout: "", stderr: "" });
  assert.equal(readdirSync(client.releases).length, 1);
}

for (const [architecture, program] of Object.entries(CNI_PROGRAMS)) {
  const own = architecture === process.arch;
  const emulator = EMULATORS[architecture];
  test(`the CNI plugin for ${architecture} asks the router, delegates, and keeps a release`, {
    skip: own ? undefined : programMissing(emulator, "qemu-user-static"),
  }, async () => {
    const client = new CniClient(Buffer.from(program, "base64"), own ? [] : [emulator]);
    await check(client).finally(() => client.dispose());
  });
}

const compilerMissing =
  programMissing("gcc", "gcc") ??
  programMissing("strip", "binutils") ??
  programMissing("/usr/include/linux/fcntl.h", "linux-libc-dev");

/** Builds the plugin from its source. @param flags of the compiler */
function build(...flags: readonly string[]): CniClient {
  const folder = mkdtempSync(join(tmpdir(), "weave-cni-built-"));
  try {
    const built = spawnSync(BUILD, ["--native", join(folder, "built"), ...flags], { encoding: "utf8" });
    assert.equal(built.status, 0, built.stderr);
    return new CniClient(readFileSync(join(folder, "built")));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test("the CNI plugin built from its source does the same", { skip: compilerMissing }, async () => {
  const client = build();
  await check(client).finally(() => client.dispose());
});

test("a plugin that prints without a pause has the limit of one that is silent", {
  skip: compilerMissing,
}, async () => {
  // No pause between two lines is as long as the interval of checks, also on a busy machine.
  const client = build("-DDELEGATE_MS=20", "-DCHECK_MS=10000");
  try {
    const ipam = { type: "talking" };
    const configuration = JSON.stringify({ cniVersion: "1.0.0", name: "n", type: "weave-net", ipam });
    // Slowly: the limit of its output, which has another code, comes seconds later.
    client.addPlugin("talking", "while :; do echo; done");
    const { code, msg } = await errorOf(client.call("DEL", configuration));
    assert.deepEqual([code, msg], [11, "cannot delegate to the plugin talking"]);
  } finally {
    await client.dispose();
  }
});

clientTest("VERSION needs no router, no other variable, and no input", async (client) => {
  const none = { CNI_CONTAINERID: undefined, CNI_IFNAME: undefined, CNI_NETNS: undefined, CNI_PATH: undefined };
  for (const [input, version] of [
    ["", "1.1.0"],
    ["{}", "1.1.0"],
    ['{"a":{"cniVersion":"9"},"b":[{"c":"}"}],"cniVersion" : "0.3.1"}', "0.3.1"],
    ['{"cniVersion":"a very long version"}', "1.1.0"],
    ['{"cniVersion":"1.0\\"}', undefined],
    ["[]", undefined],
    ["null", undefined],
    ['{"a":1', undefined],
  ]) {
    const { code, stdout } = await client.call("VERSION", input, none);
    if (version === undefined) assert.deepEqual([code, JSON.parse(stdout).code], [1, 6], input);
    else assert.deepEqual([code, JSON.parse(stdout)], [0, { cniVersion: version, supportedVersions: VERSIONS }], input);
  }
});

clientTest("missing or invalid variables are error 4, which names them", async (client) => {
  for (const [command, env, names] of [
    ["ADD", { CNI_CONTAINERID: "", CNI_NETNS: undefined }, /CNI_CONTAINERID CNI_NETNS$/],
    ["CHECK", { CNI_IFNAME: "" }, /CNI_IFNAME$/],
    ["DEL", { CNI_NETNS: "", CNI_IFNAME: "" }, /: CNI_IFNAME$/],
    ["add", {}, /CNI_COMMAND "add"$/],
    ['\u0001"\\ü\n', {}, /CNI_COMMAND "\\u0001\\"\\\\ü\\n"$/],
    ["", {}, /CNI_COMMAND ""$/],
  ] as const) {
    const { code, msg } = await errorOf(client.call(command, CONFIGURATION, env));
    assert.equal(code, 4);
    assert.match(msg, names);
  }
  assert.match((await errorOf(client.call("ADD", "", {}, "other"))).msg, /called weave-net or weave-ipam/);
});

clientTest("without a router only DEL succeeds; each other call names the next step", async (client) => {
  writeFileSync(join(client.run, "other"), "");
  const codes = await Promise.all(["CHECK", "GC", "STATUS"].map((command) => errorOf(client.call(command))));
  assert.deepEqual(
    codes.map(({ code }) => code),
    [11, 11, 50],
  );
  for (const { details, cniVersion } of codes) {
    assert.match(details!, /'weave launch'/);
    assert.equal(cniVersion, "1.0.0");
  }
  assert.equal((await errorOf(client.call("ADD"))).code, 11);
  writeFileSync(join(client.run, "launch.json"), "{}");
  assert.equal((await errorOf(client.call("STATUS"))).code, 51);
  const deletions = [
    client.call("DEL"),
    client.call("DEL"),
    client.call("DEL", CONFIGURATION, { CNI_CONTAINERID: "c2", CNI_NETNS: undefined }),
    client.call("DEL", CONFIGURATION, {}, "weave-ipam"),
  ];
  for (const each of await Promise.all(deletions)) assert.deepEqual(each, { code: 0, stdout: "", stderr: "" });
  const names = readdirSync(client.releases);
  assert.deepEqual(names.map((name) => /^[0-9a-f]{16}\.(net|ipam)$/.exec(name)?.[1]).sort(), ["ipam", "net", "net"]);
  const bodies = names.map((name) => readFileSync(join(client.releases, name), "latin1"));
  assert.ok(bodies.every((body) => body.endsWith(`\0\0${CONFIGURATION}`) && body.includes("CNI_COMMAND=DEL\0")));
});

clientTest(
  "a release is stored when the router starts, hangs up, or answers nonsense; its error is passed on",
  async (client) => {
    const count = () => (existsSync(client.releases) ? readdirSync(client.releases).length : 0);
    const answers = [
      reply(503, "weave is starting\n"),
      reply(503, '{"code":11,"msg":"later"}'),
      reply(404, "no such path\n"),
      reply(200, "text"),
      "nonsense",
      undefined,
    ];
    for (const [index, answer] of answers.entries()) {
      await client.answerBy(() => answer);
      const { code, stdout } = await client.call("DEL", CONFIGURATION, { CNI_CONTAINERID: `c${index}` });
      assert.deepEqual([code, stdout, count()], [0, "", index + 1], String(answer));
    }
    await client.answerBy(() => reply(422, '{"cniVersion":"1.0.0","code":7,"msg":"no"}'));
    assert.equal((await errorOf(client.call("DEL"))).code, 7);
    await client.answerBy(() => reply(200, ""));
    assert.equal((await client.call("DEL")).code, 0);
    assert.equal(count(), answers.length);
    await client.stopAnswers();
    assert.equal((await errorOf(client.call("DEL", "[]"))).code, 6);
    rmSync(client.releases, { recursive: true });
    writeFileSync(client.releases, "");
    assert.equal((await errorOf(client.call("DEL"))).code, 5);
  },
);

clientTest("releases are limited in number, and a stored one can be repeated", async (client) => {
  assert.equal((await client.call("DEL")).code, 0);
  for (let i = 0; i < 1_023; i++) writeFileSync(join(client.releases, `${i}.net`), "");
  assert.equal((await client.call("DEL")).code, 0);
  const { code, msg } = await errorOf(client.call("DEL", CONFIGURATION, { CNI_CONTAINERID: "c2" }));
  assert.deepEqual([code, readdirSync(client.releases).length], [11, 1_024], msg);
});

clientTest("a DEL without the router runs the plugin that has the address, and fails as that does", async (client) => {
  const log = join(client.folder, "log");
  client.addPlugin("host-local", `echo "$CNI_COMMAND $(cat)" >>${log}`);
  client.addPlugin("failing", `echo '{"code":99}'; exit 1`);
  const by = (type: string) => JSON.stringify({ cniVersion: "1.0.0", name: "n", type: "weave-net", ipam: { type } });
  assert.equal((await client.call("DEL", by("host-local"))).code, 0);
  assert.equal(readFileSync(log, "utf8"), `DEL ${by("host-local")}\n`);
  assert.equal((await errorOf(client.call("DEL", by("failing")))).code, 99);
  assert.equal((await client.call("DEL", by("weave-ipam"))).code, 0);
  assert.equal((await errorOf(client.call("DEL", by("missing")))).code, 7);
  assert.equal(readdirSync(client.releases).length, 2);
});

const DELEGATES = { "Weave-Delegate": "host-local", "Weave-Delegate-Command": "ADD" };

clientTest(
  "results of plugins come back with their status: failures, signals, missing ones, too much output",
  async (client) => {
    const results: string[][] = [];
    client.addPlugin("stopped", "kill -9 $$");
    client.addPlugin("endless", "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done");
    client.addPlugin("daemon", "sleep 5 2>/dev/null & echo started");
    client.addPlugin("input", "cat");
    writeFileSync(join(client.plugins, "broken"), "\x7fELF", { mode: 0o755 });
    const plugins = ["stopped", "endless", "daemon", "input", "broken", "missing"];
    await client.answerBy((request, count) => {
      results.push(partsOf(request).slice(-2));
      if (count === plugins.length) return reply(200, "{}");
      const body = plugins[count] === "input" ? '{"own":"input"}' : "";
      return reply(202, body, { ...DELEGATES, "Weave-Delegate": plugins[count] });
    });
    const big = { CNI_PATH: `:relative:/no/folder:${client.plugins}` };
    assert.deepEqual(await client.call("CHECK", CONFIGURATION, big), { code: 0, stdout: "{}", stderr: "" });
    const [stopped, endless, daemon, input, broken, missing] = results.slice(1);
    assert.deepEqual(
      [stopped, daemon, input],
      [
        ["137", ""],
        ["0", "started\n"],
        ["0", '{"own":"input"}'],
      ],
    );
    const codes = [endless, broken, missing].map(([status, text]) => [status, JSON.parse(text).code]);
    assert.deepEqual(codes, [
      ["126", 5],
      ["126", 5],
      ["127", 7],
    ]);
  },
);

const UNDO = { ...DELEGATES, "Weave-Delegate-Command": "DEL" };

clientTest("a failed ADD leaves no address of another plugin", async (client) => {
  const log = join(client.folder, "log");
  client.addPlugin("host-local", `echo "$CNI_COMMAND" >>${log}`);
  const answers: Record<string, string | undefined> = {
    "an error of the router": reply(422, '{"code":100,"msg":"no veth"}', UNDO),
    "a lost connection": undefined,
    "a malformed answer": "HTTP/1.1 abc",
    text: reply(500, "no\0thing\n"),
  };
  for (const [name, last] of Object.entries(answers)) {
    rmSync(log, { force: true });
    await client.answerBy((_request, count) => (count === 0 ? reply(202, "", DELEGATES) : last));
    const { msg } = await errorOf(client.call("ADD"));
    assert.notEqual(msg, "", name);
    assert.equal(readFileSync(log, "utf8"), "ADD\nDEL\n", name);
  }
  rmSync(log, { force: true });
  await client.answerBy(() => reply(202, "", DELEGATES));
  assert.match((await errorOf(client.call("ADD"))).msg, /without end/);
  assert.equal(readFileSync(log, "utf8"), `${"ADD\n".repeat(8)}DEL\n`);
});

clientTest("answers that are malformed, cut or too large are errors", async (client) => {
  const good = reply(200, '{"cniVersion":"1.0.0"}');
  const answers = [
    ...Array.from({ length: 15 }, (_, index) => good.slice(0, index * 4)),
    good.replace("22", "21"),
    good.replace("22", "23"),
    good.replace("22", "-1"),
    good.replace("22", "99999999999999999999"),
    good.replace("200", "2000"),
    good.replace("200", "099"),
    good.replace("HTTP/1.1", "HTTP/2.0"),
    good.replace("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n"),
    good.replace("\r\n\r\n", "\r\nContent-Length: 22\r\n\r\n"),
    good.replace("\r\n\r\n", `\r\nX: ${"x".repeat(20_000)}\r\n\r\n`),
    reply(200, "text"),
    reply(200, "{}{}"),
    reply(200, `{"x":"${"x".repeat(2 << 20)}"}`),
    reply(204, ""),
    reply(301, ""),
    reply(202, ""),
    reply(202, "", { ...DELEGATES, "Weave-Delegate-Command": "EXEC" }),
    reply(202, "", { ...DELEGATES, "Weave-Delegate": "x".repeat(256) }),
    reply(202, "", { ...DELEGATES, "Weave-Delegate": "a\u0001b" }),
    Buffer.from([0, 255, 10, 13, 10]),
  ];
  for (const answer of answers.filter((each) => each.length > 0)) {
    await client.answerBy(() => answer);
    const { code } = await errorOf(client.call("CHECK"));
    assert.equal(code, 11, answer.toString().slice(0, 80));
  }
  for (const name of ["../host-local", ".", "..", "a/b"]) {
    await client.answerBy((request, count) =>
      count === 0 ? reply(202, "", { ...DELEGATES, "Weave-Delegate": name }) : reply(422, partsOf(request).at(-1)!),
    );
    assert.equal((await errorOf(client.call("CHECK"))).code, 7, name);
  }
});

clientTest("the text of an answer is in the error, as JSON", async (client) => {
  await client.answerBy(() =>
    Buffer.concat([Buffer.from("HTTP/1.1 400 X\r\n\r\n"), Buffer.from([0x22, 0x5c, 7, 0xff, 0xc3, 0xbc, 0xe2, 0x82])]),
  );
  assert.equal((await errorOf(client.call("CHECK"))).msg, 'the weave router answers 400: "\\\u0007?ü??');
  await client.answerBy(() => reply(404, "x"));
  const { code, msg, details } = await errorOf(client.call("ADD"));
  assert.deepEqual([code, /does not know CNI/.test(msg), /weave restart/.test(details!)], [5, true, true]);
});

clientTest("more than 1 MB of configuration and variables is refused", async (client) => {
  await client.answerBy((request) => reply(200, JSON.stringify({ bytes: bodyOf(request).length })));
  const text = (bytes: number) => `{"x":"${"x".repeat(bytes - 8)}"}`;
  assert.equal((await client.call("CHECK", text(1_000_000))).code, 0);
  assert.equal((await errorOf(client.call("CHECK", text(1 << 20)))).code, 6);
  assert.equal((await errorOf(client.call("CHECK", text(5 << 20)))).code, 6);
  const names = ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS"];
  const long = (bytes: number) => Object.fromEntries(names.map((name) => [name, "x".repeat(bytes)]));
  assert.equal((await client.call("CHECK", CONFIGURATION, { ...long(100_000), CNI_OTHER: "x" })).code, 0);
  assert.equal((await errorOf(client.call("CHECK", text(700_000), long(120_000)))).code, 6);
});

clientTest("an ADD waits for a router that is being restarted", async (client) => {
  await client.answerBy((_request, count) => (count < 3 ? reply(503, "weave is starting\n") : reply(200, "{}")));
  assert.equal((await client.call("ADD")).code, 0);
  await client.stopAnswers();
  const adding = client.call("ADD");
  await client.answerBy(() => reply(200, "{}"));
  assert.equal((await adding).code, 0);
});
