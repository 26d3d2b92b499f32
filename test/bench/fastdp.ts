/**
 * The kernel's path in clear beside VXLAN made by hand, on the same wire: throughput, round trips, CPU of the routers, how long frames are lost
 * when the path is cut, how long a MAC takes to move, and how long 5,000 MACs take.
 *
 *   npm run bench:fastdp -- [--rounds 5] [--json FILE]
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join as joinPath } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Netlink } from "#src/linux/netlink/netlink.js";
import { ForwardingTable } from "#src/linux/vxlan/forwarding-table.js";
import type { Ends } from "#test/bench/bed.js";
import { benchLab, option } from "#test/bench/bench.js";
import { vxlan } from "#test/bench/layer2.js";
import { Probe } from "#test/bench/probe.js";
import { carriersAre, join } from "#test/lab/fastdp.js";
import type { Host } from "#test/lab/host.js";
import { Traffic } from "#test/lab/interruption.js";
import type { Lab } from "#test/lab/lab.js";
import { cpuSeconds, median, pingTimes, tcpGbits } from "#test/lab/measure.js";
import { connected, until } from "#test/lab/wait.js";

/** MTU of both: what VXLAN carries on a wire of 1,500 bytes. */
const MTU = "1450";
const SECONDS = 2;
/** Of each rate of a bisection. */
const UDP_MS = 200;
/** Share of datagrams that may be lost. */
const UDP_LOSS = 0.01;
const MACS = 5_000;
const MOVES = 5;
/** Longest wait for a MAC at another host: a move that takes longer counts as this time. */
const MOVE_SECONDS = 5;

const rounds = Number(option("--rounds") ?? 5);
const sorted = (values: readonly number[]) => [...values].sort((a, b) => a - b);
const middle = (values: readonly number[]) => median(sorted(values));

/** Containers on two hosts, and the routers that join them. */
interface Path extends Ends {
  readonly pids: readonly number[];
}

/** Two hosts in clear, with a container each. */
async function ours({ hosts: [h1, h2] }: Lab): Promise<Path> {
  await h1.launch("--encryption", "off", "--mtu", MTU);
  await h2.launch("--encryption", "off", "--mtu", MTU, h1.address);
  await connected(h1, 1);
  const [from, to] = [await h1.attach("c", "10.32.0.1/12"), await h2.attach("c", "10.32.0.2/12")];
  await carriersAre([
    [h1, { h2: "fastdp" }],
    [h2, { h1: "fastdp" }],
  ]);
  await until("a ping is answered", async () => (await from.ping("10.32.0.2")) > 0);
  const pids = [h1, h2].map((host) => host.routerPid!);
  return { from, to, address: "10.32.0.2", pids };
}

/** Throughput of both, each round one after the other; round trips; CPU seconds of a router for each second of one TCP stream. */
async function throughput(fastdp: Path, kernel: Path, probe: Probe) {
  const values = { tcp: [] as number[][], udp: [] as number[][], cpu: [] as number[] };
  const tcp = ({ from, to, address }: Ends) => tcpGbits(from, to, address, { seconds: SECONDS });
  const udp = async (ends: Ends) => (await probe.lossless(ends, 64, UDP_MS, [UDP_LOSS]))[0] / 1_000;
  for (const overlay of [kernel, fastdp]) await tcp(overlay);
  for (let round = 0; round < rounds; round++) {
    // Each is first in every other round.
    const order = round % 2 === 0 ? [kernel, fastdp] : [fastdp, kernel];
    const both = new Map<Path, number>();
    for (const overlay of order) {
      const before = overlay.pids.map(cpuSeconds);
      const at = performance.now();
      both.set(overlay, await tcp(overlay));
      const seconds = (performance.now() - at) / 1_000;
      if (overlay === fastdp) values.cpu.push(...overlay.pids.map((pid, i) => (cpuSeconds(pid) - before[i]) / seconds));
    }
    values.tcp.push([both.get(kernel)!, both.get(fastdp)!]);
    values.udp.push([await udp(kernel), await udp(fastdp)]);
  }
  const ping = async ({ from, address }: Path) => median(await pingTimes(from, address));
  // One after the other: each would wait for the other's packets.
  const pingMs = { byHand: await ping(kernel), fastdp: await ping(fastdp) };
  const column = (rows: readonly (readonly number[])[], index: number) => middle(rows.map((row) => row[index]));
  const ratio = (rows: readonly (readonly number[])[]) => middle(rows.map(([hand, own]) => own / hand));
  return {
    tcpGbits: { byHand: column(values.tcp, 0), fastdp: column(values.tcp, 1), ratio: ratio(values.tcp) },
    tcpRatios: values.tcp.map(([hand, own]) => own / hand),
    udpKpps: { byHand: column(values.udp, 0), fastdp: column(values.udp, 1), ratio: ratio(values.udp) },
    pingMs,
    routerCpu: middle(values.cpu),
  };
}

/** Longest time without an answer when the path is cut, and when it is back, in milliseconds. */
async function failover([h1, h2]: readonly Host[], { from, to, address }: Ends) {
  const times = { cutMs: 0, backMs: 0 };
  for (const [name, joint] of [
    ["cutMs", "sleeve"],
    ["backMs", "fastdp"],
  ] as const) {
    const traffic = await Traffic.start(from, to, address);
    await sleep(500);
    for (const [host, other] of [
      [h1, h2],
      [h2, h1],
    ])
      await join(host, [[other, joint]]);
    await carriersAre([
      [h1, { h2: joint }],
      [h2, { h1: joint }],
    ]);
    await sleep(500);
    times[name] = (await traffic.end()).pingMs;
  }
  return times;
}

/** From the first frame of a MAC at another host until the tunnel of this one leads there, in milliseconds. */
async function moves([h1, h2]: readonly Host[], to: Ends["to"]): Promise<number[]> {
  const times: number[] = [];
  for (let move = 0; move < MOVES; move++) {
    const mac = `02:dd:00:00:00:0${move}`;
    await to.must("ip", "link", "set", "dev", "ethwe", "address", mac);
    const at = performance.now();
    const ping = to.run("ping", "-c", "1", "-W", "1", "10.32.0.1");
    const watch = `until bridge fdb show dev weave-vx | grep -q '${mac} dst ${h2.address}'; do :; done`;
    const { code } = await h1.run("timeout", "-k", "1", String(MOVE_SECONDS), "sh", "-c", watch);
    times.push(performance.now() - at);
    if (code !== 0) console.error(`${mac} has not moved within ${MOVE_SECONDS} s`);
    await ping;
  }
  return times;
}

/** Time for 5,000 MACs in the kernel's tables: new, and moved from the tunnel to the TAP, in milliseconds. */
async function entries(host: Host) {
  const netlink = Netlink.open("route", `/run/netns/${host.ns}`);
  const index = async (name: string) => Number(await host.must("cat", `/sys/class/net/${name}/ifindex`));
  const ports = { bridge: await index("weave"), vxlan: await index("weave-vx"), tap: await index("weave-tap") };
  const table = new ForwardingTable(netlink, () => ports);
  const macs = [...Array(MACS).keys()].map(
    (i) => `02:ee:00:00:${[i >> 8, i & 255].map((byte) => byte.toString(16).padStart(2, "0")).join(":")}`,
  );
  const set = async (via: "vxlan" | "tap") => {
    const at = performance.now();
    await table.set(macs.map((mac) => ({ mac, via, host: "10.99.0.2" })));
    return performance.now() - at;
  };
  try {
    const newMs = await set("vxlan");
    const movedMs = await set("tap");
    await table.remove(macs);
    return { newMs, movedMs };
  } finally {
    netlink.close();
  }
}

await benchLab(2, async (lab) => {
  const folder = mkdtempSync(joinPath(tmpdir(), "weave-bench-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  const probe = await Probe.compile(folder);
  const fastdp = await ours(lab);
  const kernel = { ...(await vxlan(lab)), pids: [] };
  const result = {
    ...(await throughput(fastdp, kernel, probe)),
    failover: await failover(lab.hosts, fastdp),
    macs5000: await entries(lab.hosts[0]),
    macMoveMs: middle(await moves(lab.hosts, fastdp.to)),
  };
  console.log(JSON.stringify(result, null, 2));
  const file = option("--json");
  if (file !== undefined) writeFileSync(file, `${JSON.stringify(result, null, 2)}\n`);
});
