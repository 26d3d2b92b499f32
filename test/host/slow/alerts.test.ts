import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { alertRules } from "#test/lab/alert-rules.js";
import { declaredMetrics } from "#test/lab/docs/api-page.js";
import { ROOT } from "#test/lab/docs/pages.js";
import { carriersAre, join as joinBy } from "#test/lab/fastdp.js";
import type { Host } from "#test/lab/host.js";
import { Lab } from "#test/lab/lab.js";
import { Background, execute, must, type Namespace } from "#test/lab/namespace.js";
import { setPriority } from "#test/lab/priority.js";
import { hostTestsImpossible, programMissing } from "#test/lab/requirements.js";
import { fastLine, slowLine } from "#test/lab/slow-line.js";
import { connected, until } from "#test/lab/wait.js";
import { METRICS_PORT, Watcher } from "#test/lab/watcher.js";

/**
 * A network of four hosts that goes wrong, watched by Debian's Prometheus with the rules of examples/prometheus, whose durations alone are
 * shorter (test/lab/watcher.ts), until each alert has fired for the host that is concerned. The fifth host is outside: Prometheus,
 * strangers, and a hostile member. The tests are steps: each takes the network as the one before has left it.
 */

const skip = hostTestsImpossible() ?? programMissing("prometheus", "prometheus", false) ?? false;

/** Names of Weave Net's that break the rules of Prometheus' linter. */
const KEPT_NAMES =
  'weave_ipam_unreachable_count non-histogram and non-summary metrics should not have "_count" suffix\n';

/** Far more than it takes on a machine of its own. */
const FIRE_MS = 100_000;
const TEST_MS = 240_000;
/** A neighbour may use more than ten seconds of a core before it is slowed. */
const SLOW_MS = 200_000;
/** A minute of the rules is two seconds here: what a calm network must show nothing for. */
const CALM_MS = 20_000;
const MAC = "02:cc:00:00:00:99";
/** An address of the network's range that no container has. */
const UNUSED = "10.40.0.30";
const PASSWORD = "correct horse battery staple 42";
const MESH_PORT = "6783";
const HOSTILE = new URL("../../hostile/program.js", import.meta.url).pathname;
/** The kernel function in which a frame thread waits; the event loop waits in another. */
const WAITS_FOR_FRAMES = "poll_schedule_timeout";

let lab: Lab;
let watcher: Watcher;
let members: readonly Host[];
let logDisk: string;
const containers: Namespace[] = [];
const fired = new Set<string>();

/** Waits until alerts fire, each for a host, or `undefined` for the network. What has fired in an earlier step does not count. */
async function fires(alerts: Readonly<Record<string, Host | undefined>>, timeoutMs = FIRE_MS): Promise<void> {
  watcher.forget();
  const began = performance.now();
  const wait = async ([alert, host]: [string, Host | undefined]) => {
    const { summary } = await watcher.fires(alert, host, timeoutMs);
    fired.add(alert);
    console.log(`${alert} fires after ${((performance.now() - began) / 1_000).toFixed(0)} s: ${summary}`);
  };
  await Promise.all(Object.entries(alerts).map(wait));
}

const launch = (host: Host, env: NodeJS.ProcessEnv = {}) =>
  host
    .weaveWith(
      env,
      ...["launch", "--name", host.peerName, "--nickname", host.name, "--password", PASSWORD],
      ...["--trusted-subnets", "10.99.0.0/24", "--ipalloc-range", "10.40.0.0/27", "--datapath-threads", "1"],
      ...["--metrics-addr", `${host.address}:${METRICS_PORT}`],
      ...members.filter((other) => other !== host).map(({ address }) => address),
    )
    .then(({ code, stderr }) => assert.equal(code, 0, stderr));

before(async () => {
  if (skip) return;
  lab = await Lab.create(5);
  const [h1, h2, h3, h4, outside] = lab.hosts;
  members = [h1, h2, h3, h4];
  logDisk = join(h4.folder, "log");
  mkdirSync(logDisk);
  await must("mount", "-t", "tmpfs", "-o", "size=512k", "none", logDisk);
  await Promise.all(members.map((host) => launch(host)));
  for (const host of members) await connected(host, 3, 60_000);
  for (const host of members) containers.push((await host.attachAny("c")).container);
  watcher = new Watcher(outside, lab.folder);
  await watcher.start(members);
});
after(async () => {
  watcher?.stop();
  if (logDisk !== undefined) await execute("umount", ["-l", logDisk]);
  await lab?.dispose();
});

const address = async (container: Namespace) =>
  /inet (\S+)\//.exec(await container.must("ip", "-4", "address", "show", "dev", "ethwe"))![1];

/** The id of the thread that carries a host's frames: the lab's routers have one. */
async function frameThread(host: Host): Promise<string> {
  const tasks = `/proc/${host.routerPid}/task`;
  let found: string | undefined;
  await until(`a thread of ${host.name} waits for frames`, () => {
    found = readdirSync(tasks).find((tid) =>
      readFileSync(`${tasks}/${tid}/wchan`, "utf8").startsWith(WAITS_FOR_FRAMES),
    );
    return found !== undefined;
  });
  return found!;
}

/** Kills a router, which its supervisor starts again, each time that Prometheus has read it. */
async function crashing(host: Host, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const started = (await watcher.startOf(host)) ?? 0;
    process.kill(host.routerPid!, "SIGKILL");
    await until(
      `Prometheus reads the new router of ${host.name}`,
      async () => ((await watcher.startOf(host)) ?? 0) > started && host.routerPid !== undefined,
      FIRE_MS,
    );
    // Starts within one second have the same time.
    await sleep(1_000);
  }
}

test("no alert fires while all is well, and the page is as Prometheus wants it", {
  skip,
  timeout: TEST_MS,
}, async () => {
  const [h1, h2] = members;
  await carriersAre([[h1, { h2: "fastdp", h3: "fastdp", h4: "fastdp" }]], 60_000);
  await carriersAre([[h2, { h1: "fastdp", h3: "fastdp", h4: "fastdp" }]], 60_000);
  // A target that was dialled before its host had a router is dialled again later.
  for (const host of members)
    await until(
      `${host.name} has no target left to dial`,
      async () => !/ (?:connecting|failed|pending|retrying|waiting) /.test(await host.ok("status", "connections")),
      FIRE_MS,
    );
  await until("no alert fires", async () => (await watcher.firing()).length === 0, FIRE_MS);
  watcher.forget();
  const pings = containers[0].ping(await address(containers[1]), { count: CALM_MS / 100 });
  await sleep(CALM_MS);
  assert.deepEqual(watcher.seen, []);
  assert.ok((await pings) > 0);

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

test("UDP is blocked, a target does not answer, few files may be open, strangers fill a log whose disk is full", {
  skip,
  timeout: TEST_MS,
}, async () => {
  const [h1, h2, h3, h4, outside] = lab.hosts;
  await joinBy(h2, [[h1, "stream"]]);
  await h3.ok("connect", "10.99.0.200");
  const pid = String(h3.routerPid);
  const limit = /^Max open files\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/limits`, "utf8"))![1];
  const open = readdirSync(`/proc/${pid}/fd`).length;
  await must("prlimit", "--pid", pid, `--nofile=${Math.floor(open * 1.15)}:`);
  await execute("dd", ["if=/dev/zero", `of=${logDisk}/filler`, "bs=4096"]);
  await h4.ok("reload", "--log-level", "debug");
  const strangers = await outside.background(
    "strangers",
    ...[h4.address, MESH_PORT, "websocket", "200", "20000", outside.address],
  );
  await fires({ WeaveLinkDown: h3, WeaveFilesNearLimit: h3, WeaveProblem: h4, WeaveStrangersRefused: h4 });
  await fires({ WeaveCarrierStream: h1, WeaveLogLinesLost: h4 });
  strangers.kill();
  await must("rm", `${logDisk}/filler`);
  await must("prlimit", "--pid", pid, `--nofile=${limit}:`);
  await h3.ok("forget", "10.99.0.200");
  await h4.ok("reload", "--log-level", "info");
});

test("datagrams are lost", { skip, timeout: TEST_MS }, async () => {
  const [h1, h2] = members;
  await joinBy(h2, [[h1, "sleeve"]]);
  await carriersAre([[h1, { h2: "sleeve", h3: "fastdp" }]], 60_000);
  const lossy = `ip saddr ${h1.address} udp dport ${MESH_PORT} numgen random mod 10 < 2 drop`;
  await h2.must("nft", `add rule inet joints input ${lossy}`);
  const there = await address(containers[1]);
  const pings = containers[0].spawn(["ping", "-q", "-i", "0.002", there]);
  await fires({ WeavePacketLoss: h1, WeaveCarrierBelowBest: h1 });
  pings.kill();
  await h2.must("nft", "delete table inet joints");
});

test("a line is full, and a router ends again and again", { skip, timeout: TEST_MS }, async () => {
  const [h1, h2, , h4] = members;
  const [c1, c2] = containers;
  // The end that has dialled measures the path.
  const dialler = (await h1.ok("status", "connections")).includes(`-> ${h2.address}:`) ? h1 : h2;
  const sink = c2.spawn(["iperf3", "-s", "-1"]);
  await until("the sink listens", async () => (await c2.must("ss", "-ltn")).includes(":5201"));
  // What waits takes 1.2 s at most: a path that does not answer for 1.5 s would be in doubt.
  await slowLine(h1, h2, { rate: "1mbit", queue: ["bfifo", "limit", "150000"] });
  const source = c1.spawn(["iperf3", "-c", await address(c2), "-t", String(TEST_MS / 1_000)]);
  const over = new AbortController();
  const firing = fires({ WeaveRoundTripLong: dialler, WeaveRestartLoop: h4 }).finally(() => over.abort());
  await Promise.all([firing, crashing(h4, over.signal)]);
  for (const program of [source, sink]) program.kill("SIGKILL");
  await fastLine(h1);
});

test("a host sends more than its frame thread can carry", { skip, timeout: TEST_MS }, async () => {
  const [h1] = members;
  // No host has this MAC: each frame goes to all of them, so the thread has more work with it than the senders.
  await containers[0].must("ip", "neigh", "replace", UNUSED, "lladdr", MAC, "dev", "ethwe");
  const senders = [0, 1].map(() => containers[0].background("udp-flood", UNUSED, "9", "1300"));
  try {
    await fires({ WeaveThreadSaturated: h1 });
  } finally {
    for (const sender of senders) (await sender).kill();
  }
  await containers[0].must("ip", "neigh", "del", UNUSED, "dev", "ethwe");
});

test("garbage, and a second machine with a name", { skip, timeout: TEST_MS }, async () => {
  const [h1, h2, h3, , outside] = lab.hosts;
  const garbage = outside.program("udp-send", h3.address, MESH_PORT, "garbage".repeat(20), "15000");
  await outside.ok("launch", "--name", h2.peerName, "--nickname", "twin", "--password", PASSWORD, h1.address);
  await fires({ WeaveFramesDropped: h3, WeaveIdentityClash: h1 });
  await outside.ok("stop");
  await garbage;
});

test("one MAC at two hosts, and a router that has no time", { skip, timeout: TEST_MS }, async () => {
  const [h1, h2, , h4] = members;
  const [, c2, c3] = containers;
  await carriersAre([[h1, { h2: "fastdp", h3: "fastdp" }]], 60_000);
  const there = await address(containers[0]);
  for (const container of [c2, c3]) await container.must("ip", "link", "set", "dev", "ethwe", "address", MAC);
  const over = new AbortController();
  const senders = Promise.all(
    [c2, c3].map(async (container) => {
      while (!over.signal.aborted) await container.run("ping", "-c", "1", "-W", "1", there);
    }),
  );
  const pid = h4.routerPid!;
  const freezes = (async () => {
    while (!over.signal.aborted) {
      process.kill(pid, "SIGSTOP");
      await sleep(1_200);
      process.kill(pid, "SIGCONT");
      await sleep(400);
    }
  })();
  // A host that has one of the containers sees each move of the MAC; to others gossip may bring several as one.
  await fires({ WeaveMacFrozen: h2, WeaveEventLoopSlow: h4 }).finally(() => over.abort());
  await Promise.all([senders, freezes]);
  await c3.must("ip", "link", "set", "dev", "ethwe", "address", "02:cc:00:00:00:98");
});

test("a clock is late", { skip, timeout: TEST_MS }, async () => {
  const [, , , h4] = members;
  const late = join(lab.folder, "late.mjs");
  writeFileSync(late, "const now = Date.now.bind(Date); Date.now = () => now() - 120_000;\n");
  await h4.ok("stop");
  await launch(h4, { NODE_OPTIONS: `--import=${late}` });
  await fires({ WeaveClockBehind: h4 });
});

test("a hostile member", { skip, timeout: TEST_MS + SLOW_MS }, async () => {
  const [h1, , , , outside] = lab.hosts;
  const args = [String(SLOW_MS / 1_000), PASSWORD, `${h1.address}:${MESH_PORT}`, outside.address];
  const child = outside.spawn(["setsid", process.execPath, HOSTILE, "forged-records", ...args]);
  const attack = new Background(child);
  await attack.ready;
  // A busy machine must give both the core that the attacker is to use up.
  const pids = [h1.routerPid!, child.pid!];
  for (const pid of pids) await setPriority(pid, -10);
  await fires({ WeaveMessagesQuarantined: h1, WeaveNeighbourSlowed: h1 }, SLOW_MS).finally(() => attack.kill());
  await setPriority(pids[0], 0);
});

test("a host is away, and misses a change of the password; a takeover of its addresses waits", {
  skip,
  timeout: TEST_MS,
}, async () => {
  const [h1, h2, h3] = members;
  await h3.ok("stop");
  const file = join(lab.folder, "password");
  writeFileSync(file, "another horse battery staple 43\n");
  await h1.ok("rekey", "--password-file", file);
  await fires({ WeaveRouterDown: h3, WeaveRekeyIncomplete: h1, WeaveAddressOwnersAway: h1 });
  const pid = h2.routerPid!;
  process.kill(pid, "SIGSTOP");
  try {
    await h1.ok("rmpeer", h3.peerName);
    await fires({ WeaveTakeoverPending: h1 });
  } finally {
    process.kill(pid, "SIGCONT");
  }
});

test("no address is left, and a host returns whose addresses were given to another", {
  skip,
  timeout: TEST_MS,
}, async () => {
  const [h1, , h3] = members;
  await until(
    "h1 may use the addresses of h3",
    async () => (await h1.api("GET", "/metrics")).body.includes("weave_ipam_takeover_pending 0"),
    FIRE_MS,
  );
  for (let id = 0, full = false; !full; id++)
    full = (await h1.api("POST", `/ip/holder-${id}?timeout=5`)).status !== 200;
  const blocked = h1.api("POST", "/ip/holder-too-many?timeout=40").catch(() => {});
  await launch(h3);
  await fires({
    WeaveAddressSpaceNearlyFull: undefined,
    WeaveAddressRequestsBlocked: h1,
    WeaveAddressesContested: h3,
  });
  await blocked;
});

test("a frame thread stands still", {
  skip: skip || (programMissing("gcc", "gcc") ?? false),
  timeout: TEST_MS,
}, async () => {
  const [h1] = members;
  const freeze = join(lab.folder, "freeze-thread");
  await must("gcc", "-o", freeze, join(ROOT, "test/lab/freeze-thread.c"));
  const thread = await frameThread(h1);
  // A router answers a scrape without its threads after two seconds.
  await watcher.pace(4);
  const frozen = new Background(h1.spawn([freeze, thread]));
  await frozen.ready;
  await fires({ WeaveThreadsSilent: h1 });
  frozen.kill();
});

test("no router is watched", { skip, timeout: TEST_MS }, async () => {
  watcher.watch([]);
  await fires({ WeaveRoutersAbsent: undefined });
});

test("these were all alerts", { skip }, () => {
  const missing = alertRules().filter(({ alert }) => !fired.has(alert));
  assert.deepEqual(
    missing.map(({ alert }) => alert),
    [],
  );
});
