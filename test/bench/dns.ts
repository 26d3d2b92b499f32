/**
 * `npm run bench:dns`: weaveDNS against dnsmasq, the same 10,000 names, the same load in the same run; and how soon a name
 * is known elsewhere. Traffic is on loopback and in network namespaces.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Nameserver } from "#dns/nameserver.js";
import { DnsServer } from "#router/names/dns-server.js";
import { ResolvConf } from "#router/names/resolv-conf.js";
import { framed, TcpReader, Upstream } from "#router/names/upstream.js";
import { systemClock } from "#src/clock.js";
import { silentLog } from "#src/log.js";
import { systemRandom } from "#src/random.js";
import { inLab } from "#test/lab/lab.js";
import { median } from "#test/lab/measure.js";
import { lonelyNameserver } from "#test/lab/names.js";
import { hostTestsImpossible } from "#test/lab/requirements.js";
import { connected } from "#test/lab/wait.js";

const NAMES = 10_000;
const SECONDS = 3;
/** Clients are spread over addresses and ports, as containers are. */
const CLIENTS = 8;
const IN_FLIGHT = 8;
const WEAVE_PORT = 20_531;
const DNSMASQ_PORT = 20_532;

const nameOf = (i: number) => `app${i}.weave.local`;
const addressOf = (i: number) => `10.32.${i >> 8}.${i & 255}`;
const say = (what: string, value: string) => console.log(`${what.padEnd(52)} ${value}`);

function makeNames(): Nameserver {
  const names = lonelyNameserver();
  for (let i = 0; i < NAMES; i++) names.add(`c${i}`, addressOf(i), nameOf(i));
  return names;
}

/** The server in a process of its own, as in a router. */
async function serve(): Promise<void> {
  global.gc?.();
  const before = process.memoryUsage();
  const names = makeNames();
  global.gc?.();
  const after = process.memoryUsage();
  const upstream = new Upstream({
    resolvConf: new ResolvConf("/nonexistent", () => false),
    random: systemRandom,
    timeoutMs: 100,
  });
  await DnsServer.listen("127.0.0.1", WEAVE_PORT, { names, upstream, ttl: 1, clock: systemClock, log: silentLog });
  process.stdout.write(`${after.heapUsed - before.heapUsed}\n`);
}

/** A query for a random one of the names. */
function makeQuery(id: number): Uint8Array {
  const labels = nameOf(Math.floor(Math.random() * NAMES)).split(".");
  const name = Buffer.concat([
    ...labels.map((label) => Buffer.from([label.length, ...Buffer.from(label)])),
    Buffer.from([0]),
  ]);
  return Buffer.concat([
    Buffer.from([id >> 8, id & 255, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
    name,
    Buffer.from([0, 1, 0, 1]),
  ]);
}

interface Load {
  readonly perSecond: number;
  /** Milliseconds. */
  readonly latencies: number[];
}

/** Keeps so many queries under way over each of several sockets. */
async function udpLoad(port: number, clients: number, inFlight: number, seconds: number): Promise<Load> {
  const latencies: number[] = [];
  let answered = 0;
  const end = performance.now() + seconds * 1_000;
  await Promise.all(
    Array.from({ length: clients }, async (_, client) => {
      const socket = createSocket("udp4");
      const sent = new Map<number, number>();
      let next = 0;
      const send = () => {
        next = (next + 1) & 65_535;
        sent.set(next, performance.now());
        socket.send(makeQuery(next), port, "127.0.0.1");
      };
      socket.on("message", (message) => {
        const began = sent.get((message[0] << 8) | message[1]);
        if (began === undefined || message[7] !== 1) return;
        sent.delete((message[0] << 8) | message[1]);
        answered++;
        latencies.push(performance.now() - began);
        if (performance.now() < end) send();
      });
      socket.bind(0, `127.0.1.${client + 1}`);
      await once(socket, "listening");
      for (let i = 0; i < inFlight; i++) send();
      await new Promise((resolve) => setTimeout(resolve, seconds * 1_000 + 200));
      socket.close();
    }),
  );
  return { perSecond: answered / seconds, latencies };
}

/** As {@link udpLoad}, over connections that stay open. */
async function tcpLoad(port: number, clients: number, inFlight: number, seconds: number): Promise<Load> {
  const latencies: number[] = [];
  let answered = 0;
  const end = performance.now() + seconds * 1_000;
  await Promise.all(
    Array.from({ length: clients }, async (_, client) => {
      const sent = new Map<number, number>();
      let next = 0;
      const send = () => {
        if (socket.destroyed) return;
        next = (next + 1) & 65_535;
        sent.set(next, performance.now());
        socket.write(framed(makeQuery(next)));
      };
      const socket = connect({ host: "127.0.0.1", port, localAddress: `127.0.1.${client + 1}` });
      socket.on("error", () => socket.destroy());
      const reader = new TcpReader((message) => {
        const id = (message[0] << 8) | message[1];
        latencies.push(performance.now() - sent.get(id)!);
        sent.delete(id);
        answered++;
        if (performance.now() < end) send();
      });
      socket.on("data", (chunk) => reader.push(chunk));
      await once(socket, "connect");
      for (let i = 0; i < inFlight; i++) send();
      await new Promise((resolve) => setTimeout(resolve, seconds * 1_000 + 200));
      socket.destroy();
    }),
  );
  return { perSecond: answered / seconds, latencies };
}

const percentile = (values: number[], part: number): number =>
  [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * part))] ?? Number.NaN;

async function against(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "weave-bench-dns-"));
  const children: ChildProcess[] = [];
  try {
    const weave = spawn(process.execPath, ["--expose-gc", fileURLToPath(import.meta.url), "serve"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    children.push(weave);
    const [bytes] = (await once(weave.stdout, "data")) as [Buffer];
    say(`memory for ${NAMES.toLocaleString("en")} records`, `${(Number(bytes) / 1e6).toFixed(1)} MB`);
    const hosts = join(folder, "hosts");
    writeFileSync(hosts, Array.from({ length: NAMES }, (_, i) => `${addressOf(i)} ${nameOf(i)}\n`).join(""));
    const servers = [["weave", WEAVE_PORT]] as [string, number][];
    if (spawnSync("which", ["dnsmasq"]).status === 0) {
      const options = [
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--bind-interfaces",
      ];
      const where = [`--port=${DNSMASQ_PORT}`, "--listen-address=127.0.0.1", `--addn-hosts=${hosts}`, "--user=root"];
      const more = ["--local-ttl=1", `--pid-file=${folder}/pid`, "--log-facility=/dev/null"];
      children.push(spawn("dnsmasq", [...options, ...where, ...more], { stdio: "ignore" }));
      servers.push(["dnsmasq", DNSMASQ_PORT]);
      await new Promise((resolve) => setTimeout(resolve, 500));
    } else console.log("dnsmasq is not installed: no comparison");
    for (const [transport, load] of [
      ["UDP", udpLoad],
      ["TCP", tcpLoad],
    ] as const) {
      const rates: number[] = [];
      for (const [name, port] of servers) {
        const one = await load(port, 1, 1, SECONDS);
        const many = await load(port, CLIENTS, IN_FLIGHT, SECONDS);
        rates.push(many.perSecond);
        say(
          `${name}, ${transport}: a second; median and p99 of one at a time`,
          `${Math.round(many.perSecond).toLocaleString("en")}; ${median(one.latencies).toFixed(3)} ms, ${percentile(one.latencies, 0.99).toFixed(3)} ms`,
        );
      }
      if (rates.length === 2) say(`weave / dnsmasq, ${transport}`, (rates[0] / rates[1]).toFixed(2));
    }
  } finally {
    for (const child of children) child.kill("SIGKILL");
    rmSync(folder, { recursive: true });
  }
}

async function elsewhere(): Promise<void> {
  const why = hostTestsImpossible();
  if (why !== undefined) return say("from one host to another", `not measured: ${why}`);
  await inLab(2, async ({ hosts: [h1, h2] }) => {
    await Promise.all([h1, h2].map((host) => host.launch("--ipalloc-init", "consensus=2")));
    await h2.ok("connect", h1.address);
    await connected(h2, 1);
    const count = 200;
    const names = Array.from({ length: count }, (_, i) => `b${i}.weave.local`);
    const waiting = await h2.background("dns-await", "127.0.0.1", ...names);
    const announced: number[] = [];
    for (let i = 0; i < count; i++) {
      announced.push(performance.timeOrigin + performance.now());
      const { status } = await h1.api("PUT", `/name/c${i}/10.32.0.${i}?fqdn=${names[i]}`);
      if (status !== 204) throw new Error(`the name was answered with ${status}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const known = (await waiting.result).split(" ").map(Number);
    const times = known.map((at, i) => at - announced[i]);
    say(
      "name given by the API, until resolved on the other host",
      `${median(times).toFixed(1)} ms median, ${percentile(times, 0.99).toFixed(1)} ms p99, of ${count}`,
    );
    const attaches: number[] = [];
    for (let i = 0; i < 20; i++) {
      const container = await h1.container(`c${i}`);
      const awaiting = await h2.background("dns-await", "127.0.0.1", `d${i}.weave.local`);
      const began = performance.timeOrigin + performance.now();
      await h1.ok("attach", "--name", `d${i}`, `netns:${container.ns}`);
      attaches.push(Number(await awaiting.result) - began);
    }
    say(
      "`weave attach --name` begun, until resolved there",
      `${median(attaches).toFixed(0)} ms median of 20 (the command's own time included)`,
    );
  });
}

if (process.argv[2] === "serve") await serve();
else {
  await against();
  await elsewhere();
}
