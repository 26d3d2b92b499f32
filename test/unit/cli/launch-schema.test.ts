import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { withFlagTable } from "#cli/launch/flag-table.js";
import { ALL_FLAGS, parseLaunch } from "#cli/launch/launch-flags.js";
import { DOCKER_FLAGS } from "#docker/flags.js";
import { ROUTER_FLAGS } from "#router/flags.js";
import { parseOptions } from "#router/options.js";
import { type Flag, flagText } from "#src/flag.js";

/** For each flag that takes a value: values out of its range or of another form, and of another type in a launch file. */
const BAD: Readonly<Record<string, { readonly texts: readonly string[]; readonly raw: readonly unknown[] }>> = {
  name: { texts: ["zz", "1:2:3", "1:2:3:4:5:6:7", "100::"], raw: [7] },
  nickname: { texts: ["", "x".repeat(300), "a\tb"], raw: [7] },
  host: { texts: ["localhost", "10.0.0", "10.0.0.256", "::1"], raw: [7] },
  port: { texts: ["0", "99999", "65536", "-1", "abc", "1e3", ""], raw: [0, 65_536, 1.5, "6783", null] },
  password: { texts: ["x".repeat(1_025)], raw: ["", 7] },
  passwordFile: { texts: ["x".repeat(5_000)], raw: ["", 7] },
  encryption: { texts: ["maybe", "true"], raw: ["on", 1] },
  trustedSubnets: { texts: ["10.0.0.0/8,X", "10.0.0.0/33", "10.0.0.0"], raw: ["10.0.0.0/8", [7]] },
  connectionLimit: { texts: ["-1", "4097", "9999", "x"], raw: [-1, 9_999, "5"] },
  mtu: { texts: ["10", "575", "65536", "1k"], raw: [10, 65_536, "1400"] },
  fastdpEncrypted: { texts: ["yes", "", "AUTO"], raw: ["maybe", true] },
  datapathThreads: { texts: ["99", "17", "-1", "x"], raw: [99, -1, "2"] },
  datapathNice: { texts: ["-21", "20", "x"], raw: [-21, 20, "2"] },
  offloadsOff: { texts: ["tso,warp"], raw: ["tso", ["warp"]] },
  bridge: { texts: ["toolongbridgename", "", "1a", "a b", "a/b"], raw: [7] },
  ipallocRange: { texts: ["10.2.0.1/16", "10.2.0.0/31", "10.2.0.0", "x"], raw: [7] },
  ipallocDefaultSubnet: { texts: ["10.32.0.1/16", "10.32.0.0/32", "x"], raw: [7] },
  ipallocInit: { texts: ["paxos", "consensus=0", "consensus=10000", "seed=zz", "observer=1"], raw: [7] },
  dnsDomain: { texts: ["", "a..b", `${"x".repeat(64)}.local`], raw: [7] },
  dnsListenAddress: { texts: ["localhost:53", "10.0.0.1:0", "10.0.0.1:65536", "10.0.0.300:53"], raw: [53] },
  dnsTtl: { texts: ["-1", "604801", "1s"], raw: [-1, 604_801, "1"] },
  dnsFallbackTimeout: { texts: ["0s", "61s", "5", "5h"], raw: [5] },
  resolvConf: { texts: ["", "x".repeat(5_000)], raw: [7] },
  httpAddr: {
    texts: ["nowhere", "127.0.0.1:0", "127.0.0.1:65536", "300.0.0.1:80", `/${"x".repeat(108)}`],
    raw: [6_784],
  },
  statusAddr: { texts: ["nowhere", "127.0.0.1:99999", ":x"], raw: [6_782] },
  metricsAddr: { texts: ["nowhere", "[::1]:80"], raw: [80] },
  pageAddr: { texts: ["nowhere", "127.0.0.1:0", "[::1]:80"], raw: [6_782] },
  metricsPeers: { texts: ["-1", "4097", "all", "1.5"], raw: [-1, 4_097, "200"] },
  dbPrefix: { texts: ["rel", "", `/${"x".repeat(5_000)}`], raw: [7] },
  image: { texts: ["../x", "-x", "a b", "x".repeat(513)], raw: [7] },
  supervised: { texts: ["process", "x"], raw: ["process", 1] },
  logLevel: { texts: ["loud", ""], raw: ["warning", 1] },
  minProtocolVersion: { texts: ["0", "3", "x"], raw: [] },
  "docker.api": { texts: ["nonsense", "tcp://h:0", "tcp://h:65536", "ssh://h"], raw: [7] },
  "docker.bridge": { texts: ["a b", "x".repeat(16), ""], raw: [7] },
  "docker.pluginSocket": { texts: ["rel.sock", `/${"x".repeat(108)}`], raw: [7] },
  "docker.meshSocket": { texts: ["rel.sock", `/${"x".repeat(108)}`], raw: [7] },
  "docker.listen": { texts: ["unix://x", "tcp://h:0", "tcp://h:65536", "x"], raw: ["/x.sock", [7], ["x"]] },
  "docker.hostnameFromLabel": { texts: ["x".repeat(1_025)], raw: [7] },
  "docker.hostnameMatch": { texts: ["(", "x".repeat(1_025)], raw: [7] },
  "docker.hostnameReplacement": { texts: ["x".repeat(1_025)], raw: [7] },
  "docker.tlsCa": { texts: [""], raw: ["rel.pem", 7] },
  "docker.tlsCert": { texts: [""], raw: ["rel.pem", 7] },
  "docker.tlsKey": { texts: [""], raw: ["rel.pem", 7] },
  bufsz: { texts: ["x".repeat(5_000)], raw: [] },
  datapath: { texts: ["x".repeat(5_000)], raw: [] },
  profile: { texts: ["x".repeat(5_000)], raw: [] },
  procPath: { texts: ["x".repeat(5_000)], raw: [] },
  hostRoot: { texts: ["x".repeat(5_000)], raw: [] },
};

const rows: [string, Flag<unknown>][] = Object.entries(ALL_FLAGS);

/** One line that names flag or variable, value and what is allowed. */
function named(row: Flag<unknown>, what: string, value: unknown): (error: Error) => boolean {
  return (error) => {
    assert.ok("code" in error && error.code === "WEAVE_FLAG_INVALID", String(error.stack));
    const shown = row.secret ? '"(hidden)"' : JSON.stringify(value).slice(0, 60);
    assert.ok(error.message.startsWith(`invalid value ${shown}`), error.message);
    assert.ok(error.message.includes(` for ${what}: it must be ${row.shape.expected}`), error.message);
    assert.doesNotMatch(error.message, /\n/);
    return true;
  };
}

test("the error for an invalid flag or variable is one line with its name, the value and the range", () => {
  for (const [key, row] of rows) {
    if (row.given !== undefined) {
      assert.throws(() => parseLaunch([`--${row.flag}=maybe`], {}), { message: /^invalid value "maybe" for --/ }, key);
      continue;
    }
    assert.ok(BAD[key]?.texts.length > 0, `no bad values are known of ${flagText(row)}`);
    for (const text of BAD[key].texts) {
      const words = row.flag.length === 1 ? [`-${row.flag}`, text] : [`--${row.flag}=${text}`];
      assert.throws(() => parseLaunch(words, {}), named(row, flagText(row), text), `${key} ${text}`);
      if (row.env !== undefined && text !== "")
        assert.throws(
          () => parseLaunch([], { [String(row.env)]: text }),
          named(row, row.env, text),
          `${row.env} ${text}`,
        );
    }
  }
});

test("the router rejects invalid values in its launch file by the same rows", () => {
  const good = parseLaunch([], {}).options;
  assert.deepEqual(parseOptions(JSON.parse(JSON.stringify(good))), good);
  const tables: [string, Record<string, Flag<unknown>>][] = [
    ["", ROUTER_FLAGS],
    ["docker.", DOCKER_FLAGS],
  ];
  for (const [prefix, table] of tables) {
    for (const [option, row] of Object.entries(table)) {
      const { texts, raw } = BAD[`${prefix}${option}`] ?? { texts: [], raw: ["yes", 1] };
      const isText = typeof (prefix === "" ? good[option as "host"] : good.docker[option as "api"]) === "string";
      for (const value of [{}, ...raw, ...(isText && !/^tls|^resolv/.test(option) ? texts : [])]) {
        const edited =
          prefix === "" ? { ...good, [option]: value } : { ...good, docker: { ...good.docker, [option]: value } };
        assert.throws(
          () => parseOptions(edited),
          named(row, flagText(row), value),
          `${option} ${JSON.stringify(value)}`,
        );
      }
    }
  }
});

test("flags that the launch file of an earlier version lacks have their defaults, not the values of variables", () => {
  const { port: _port, dnsTtl: _ttl, ...older } = parseLaunch(["--port=7000"], {}).options;
  process.env.WEAVE_PORT = "7001";
  try {
    const { port, dnsTtl } = parseOptions(older);
    assert.deepEqual([port, dnsTtl], [6_783, 1]);
  } finally {
    delete process.env.WEAVE_PORT;
  }
});

test("a value may look like a flag; a password is never shown", () => {
  assert.equal(parseLaunch(["--password", "-abc"], {}).options.password, "-abc");
  assert.equal(parseLaunch(["-password", "--port"], {}).options.password, "--port");
  assert.deepEqual(parseLaunch(["--", "host1"], {}).options.peers, ["host1"]);
  assert.throws(
    () => parseLaunch(["--password", "secret".repeat(200)], {}),
    (error: Error) => !error.message.includes("secret"),
  );
});

test("the error for a mistyped flag suggests the one that was probably meant", () => {
  for (const [typed, meant] of [
    ["--pasword", "--password"],
    ["--ipaloc-range=10.0.0.0/8", "--ipalloc-range"],
    ["-nodns", "--no-dns"],
  ])
    assert.throws(() => parseLaunch([typed], {}), {
      code: "WEAVE_FLAG_UNKNOWN",
      next: `Did you mean ${meant}? See 'weave launch --help'.`,
    });
  assert.throws(() => parseLaunch(["--quux"], {}), { next: "See 'weave launch --help'." });
});

test("the table of flags in docs/commands.md matches the schema ('npm run docs' writes it)", () => {
  const page = readFileSync("docs/commands.md", "utf8");
  assert.equal(withFlagTable(page), page);
});
