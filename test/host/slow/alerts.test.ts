import assert from "node:assert/strict";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { alertRules } from "#test/lab/alert-rules.js";
import { declaredMetrics } from "#test/lab/docs/api-page.js";
import { carriersAre, join as joinBy } from "#test/lab/fastdp.js";
import type { Host } from "#test/lab/host.js";
import { Lab } from "#test/lab/lab.js";
import { execute, must, type Namespace } from "#test/lab/namespace.js";
import { hostTestsImpossible, programMissing } from "#test/lab/requirements.js";
import { connected, until } from "#test/lab/wait.js";
import { METRICS_PORT, Watcher } from "#test/lab/watcher.js";

/** A network that goes wrong, watched by Debian's Prometheus with the rules of examples/prometheus, until each alert fires. */

const skip = hostTestsImpossible() ?? programMissing("prometheus", "prometheus", false) ?? false;
const rules = alertRules();

/** Names of Weave Net's that break the rules of Prometheus' linter. */
const KEPT_NAMES =
  'weave_ipam_unreachable_count non-histogram and non-summary metrics should not have "_count" suffix\n';

/** Alerts whose fault takes a hostile member of the network, or a fault of the program: they are tested by promtool alone. */
const NOT_MADE: readonly string[] = [
  "WeaveAddressesContested",
  "WeaveLogLinesLost",
  "WeaveMessagesQuarantined",
  "WeaveNeighbourSlowed",
  "WeaveThreadsSilent",
];

const FIRE_MS = 90_000;
const TEST_MS = 240_000;
const MAC = "02:cc:00:00:00:99";
const PASSWORD = "correct horse battery staple 42";

let lab: Lab;
let watcher: Watcher;
let hosts: readonly Host[];
const containers: Namespace[] = [];
const fired = new Set<string>();
const fires = async (...alerts: string[]) => {
  await watcher.fires(FIRE_MS, ...alerts);
  for (const alert of alerts) fired.add(alert);
};
const launch = (host: Host, ...args: string[]) =>
  host.launch(
    ...["--password", PASSWORD, "--encryption", "off", "--ipalloc-range", "10.40.0.0/27"],
    ...["--metrics-addr", `${host.address}:${METRICS_PORT}`, ...args],
  );
before(async () => {
  if (skip) return;
  lab = await Lab.create(4);
  const [h1, h2, h3, h4] = lab.hosts;
  hosts = [h1, h2, h3];
  await launch(h1);
  await launch(h2, h1.address);
  await launch(h3, h1.address, h2.address);
  for (const host of hosts) await connected(host, 2, 60_000);
  for (const host of hosts) containers.push((await host.attachAny("c")).container);
  watcher = new Watcher(h4, lab.folder);
  await watcher.start(hosts);
});
after(async () => {
  watcher?.stop();
  await lab?.dispose();
});

const address = async (container: Namespace) =>
  /inet (\S+)\//.exec(await container.must("ip", "-4", "address", "show", "dev", "ethwe"))![1];

test("none while all is well, and the page is as Prometheus wants it", { skip, timeout: TEST_MS }, async () => {
  const [h1, h2] = hosts;
  await carriersAre([[h1, { h2: "fastdp", h3: "fastdp" }]], 60_000);
  await carriersAre([[h2, { h1: "fastdp", h3: "fastdp" }]], 60_000);
  await until("no alert fires", async () => (await watcher.firing()).length === 0, 90_000);
  const { body } = await h1.api("GET", "/metrics");
  const file = join(lab.folder, "metrics.txt");
  writeFileSync(file, body);
  const { stderr } = await execute("sh", ["-c", `promtool check metrics <${file}`]);
  assert.equal(stderr, KEPT_NAMES);
  const documented = declaredMetrics().map(({ name }) => name);
  const served = [...body.matchAll(/^# TYPE (\w+)/gm)].map(([, name]) => name);
  assert.deepEqual(
    served.filter((name) => !documented.includes(name)),
    [],
  );
  assert.equal(new Set(served).size, served.length, "each has one HELP and one TYPE");
});

test("UDP is blocked, then loses datagrams", { skip, timeout: TEST_MS }, async () => {
  const [h1, h2] = hosts;
  await joinBy(h2, [[h1, "stream"]]);
  await fires("WeaveCarrierStream", "WeaveCarrierBelowBest");
  await joinBy(h2, [[h1, "sleeve"]]);
  await carriersAre([[h1, { h2: "sleeve", h3: "fastdp" }]], 60_000);
  const lossy = "ip saddr != 10.99.0.3 udp dport 6783 numgen random mod 10 < 2 drop";
  await h2.must("nft", `add rule inet joints input ${lossy}`);
  const pings = containers[0].run("ping", "-q", "-i", "0.002", "-w", "25", await address(containers[1]));
  await fires("WeavePacketLoss");
  await pings;
  await h2.must("nft", "delete table inet joints");
});

test("a full line, and garbage", { skip, timeout: TEST_MS }, async () => {
  const [h1, h2] = hosts;
  const h4 = lab.hosts[3];
  const queue = ["rate", "400kbit", "burst", "4kb", "limit", "60kb"];
  await h2.must("tc", "qdisc", "add", "dev", h2.device, "root", "tbf", ...queue);
  const flood = h2.program("udp-send", h1.address, "9", "x".repeat(120), "15000");
  await fires("WeaveRoundTripLong");
  await h2.must("tc", "qdisc", "delete", "dev", h2.device, "root");
  await flood;
  await h4.program("udp-send", h1.address, "6783", "garbage".repeat(20), "4000");
  await fires("WeaveFramesDropped");
});

test("a busy frame thread", { skip, timeout: TEST_MS }, async () => {
  const [h1, h2] = hosts;
  await joinBy(h2, [[h1, "sleeve"]]);
  await carriersAre([[h1, { h2: "sleeve", h3: "fastdp" }]], 60_000);
  const server = containers[1].spawn(["iperf3", "-s", "-1"]);
  await sleep(500);
  const transfer = containers[0].run("iperf3", "-c", await address(containers[1]), "-t", "40", "-P", "4");
  await fires("WeaveThreadSaturated");
  await transfer;
  server.kill();
  await h2.must("nft", "delete table inet joints");
});

test("a target that does not answer, strangers, and a second machine with a name", {
  skip,
  timeout: TEST_MS,
}, async () => {
  const [h1, h2] = hosts;
  const h4 = lab.hosts[3];
  await h1.ok("connect", "10.99.0.200");
  await fires("WeaveLinkDown");
  await h1.ok("forget", "10.99.0.200");
  const strangers = await h4.background("strangers", h1.address, "6783", "websocket", "60", "240", h4.address);
  await fires("WeaveStrangersRefused");
  strangers.kill();
  await h4.ok("launch", "--name", h2.peerName, "--nickname", "twin", "--password", PASSWORD, h1.address);
  await fires("WeaveIdentityClash");
  await h4.ok("stop");
});

test("one MAC at two hosts", { skip, timeout: TEST_MS }, async () => {
  const [, c2, c3] = containers;
  const c1 = await address(containers[0]);
  for (const container of [c2, c3]) await container.must("ip", "link", "set", "dev", "ethwe", "address", MAC);
  for (let round = 0; round < 12; round++)
    for (const container of [c2, c3]) await container.run("ping", "-c", "1", "-W", "1", c1);
  await fires("WeaveMacFrozen");
  await c3.must("ip", "link", "set", "dev", "ethwe", "address", "02:cc:00:00:00:98");
});

test("no address is left", { skip, timeout: TEST_MS }, async () => {
  const [h1] = hosts;
  for (let id = 0; id < 27; id++) assert.equal((await h1.api("POST", `/ip/holder-${id}`)).status, 200);
  await fires("WeaveAddressSpaceNearlyFull");
  const blocked = h1.api("POST", "/ip/holder-too-many?timeout=20");
  await fires("WeaveAddressRequestsBlocked");
  await blocked.catch(() => {});
  for (let id = 0; id < 27; id++) await h1.api("DELETE", `/ip/holder-${id}`);
});

test("a router that is stopped again and again, has few files, or no time", { skip, timeout: TEST_MS }, async () => {
  const [h1, h2] = hosts;
  const pid = String(h1.routerPid);
  const open = readdirSync(`/proc/${pid}/fd`).length;
  const limit = /^Max open files\s+(\d+)/m.exec(await must("cat", `/proc/${pid}/limits`))![1];
  await must("prlimit", "--pid", pid, `--nofile=${Math.floor(open * 1.15)}:`);
  await fires("WeaveFilesNearLimit");
  await must("prlimit", "--pid", pid, `--nofile=${limit}:`);
  let slow = true;
  const freezes = (async () => {
    while (slow) {
      process.kill(h1.routerPid!, "SIGSTOP");
      await sleep(500);
      process.kill(h1.routerPid!, "SIGCONT");
      await sleep(300);
    }
  })();
  await fires("WeaveEventLoopSlow").finally(() => {
    slow = false;
  });
  await freezes;
  for (let start = 0; start < 4; start++) {
    await h2.ok("stop");
    await launch(h2, h1.address);
    await sleep(3_000);
  }
  await fires("WeaveRestartLoop");
});

test("a host that is away, and what it misses", { skip, timeout: TEST_MS }, async () => {
  const [h1, h2, h3] = hosts;
  await h3.ok("stop");
  await fires("WeaveRouterDown", "WeaveAddressOwnersAway");
  const file = join(lab.folder, "password");
  writeFileSync(file, "another horse battery staple 43\n");
  await h1.ok("rekey", "--password-file", file);
  await fires("WeaveRekeyIncomplete");
  process.kill(h2.routerPid!, "SIGSTOP");
  try {
    await h1.ok("rmpeer", h3.peerName);
    await fires("WeaveTakeoverPending");
  } finally {
    process.kill(h2.routerPid!, "SIGCONT");
  }
});

test("a clock that is late, and a problem that status shows", { skip, timeout: TEST_MS }, async () => {
  const [h1, h2, h3] = hosts;
  const late = join(lab.folder, "late.mjs");
  writeFileSync(late, "const now = Date.now.bind(Date); Date.now = () => now() - 120_000;\n");
  await h3.weave("reset", "--force");
  const args = ["--name", h3.peerName, "--nickname", "h3", "--password", "another horse battery staple 43"];
  const metrics = ["--metrics-addr", `${h3.address}:${METRICS_PORT}`, "--insecure-http"];
  for (const host of [h1, h2]) await host.weave("trust", "forget", h3.peerName);
  const env = { NODE_OPTIONS: `--import=${late}` };
  const { code, stderr } = await h3.weaveWith(env, "launch", ...args, ...metrics, "--no-restart", h1.address);
  assert.equal(code, 0, stderr);
  await fires("WeaveClockBehind", "WeaveProblem");
});

test("no router is watched", { skip, timeout: TEST_MS }, async () => {
  watcher.watch([]);
  await fires("WeaveRoutersAbsent");
});

test("these were all alerts that can be made to fire", { skip }, () => {
  assert.deepEqual(
    rules
      .map(({ alert }) => alert)
      .filter((alert) => !fired.has(alert))
      .sort(),
    [...NOT_MADE],
  );
});
