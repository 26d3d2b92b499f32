/**
 * `npm run bench:idle [-- --hosts 31 --seconds 120]`: what the routers of a full mesh send when they carry no traffic, as
 * the kernel counts it: IP packets with all of their headers. Hosts with 1 vCPU for ten of them need some minutes to start.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { benchLab, option } from "#test/bench/bench.js";
import type { Host } from "#test/lab/host.js";
import { connected } from "#test/lab/wait.js";

/** What a router of 30 peers should stay below. */
const PEERS = 30;
/** The first seconds of a connection have probes and gossip that an idle one has not. */
const SETTLE_MS = 40_000;

type Bytes = Record<"udp" | "tcp" | "other", number>;

async function count(host: Host): Promise<void> {
  const out = ["udp", "tcp"].map(
    (protocol) => `add rule inet counted out oifname eth0 meta l4proto ${protocol} counter accept`,
  );
  await host.must(
    "nft",
    ["add table inet counted", "add chain inet counted out { type filter hook output priority 300; }", ...out]
      .concat("add rule inet counted out oifname eth0 counter")
      .join("; "),
  );
}

async function counted(host: Host): Promise<Bytes> {
  const listed = JSON.parse(await host.must("nft", "-j", "list", "table", "inet", "counted")) as {
    nftables: { rule?: { expr: { counter?: { bytes: number } }[] } }[];
  };
  const [udp, tcp, other] = listed.nftables.flatMap(
    ({ rule }) => rule?.expr.flatMap(({ counter }) => (counter === undefined ? [] : [counter.bytes])) ?? [],
  );
  return { udp, tcp, other };
}

async function main(): Promise<void> {
  const hosts = Number(option("--hosts") ?? PEERS + 1);
  const seconds = Number(option("--seconds") ?? 120);
  await benchLab(hosts, async (lab) => {
    const [first, ...others] = lab.hosts;
    await first.launch();
    for (const host of others) await host.launch(first.address);
    for (const host of lab.hosts) await connected(host, hosts - 1, 180_000);
    await sleep(SETTLE_MS);
    for (const host of lab.hosts) await count(host);
    const begin = performance.now();
    const before = await Promise.all(lab.hosts.map(counted));
    await sleep(seconds * 1_000);
    const after = await Promise.all(lab.hosts.map(counted));
    const passed = (performance.now() - begin) / 1_000;
    const rate = (kind: keyof Bytes) => after.map((bytes, i) => (bytes[kind] - before[i][kind]) / passed);
    const rates = { udp: rate("udp"), tcp: rate("tcp"), other: rate("other") };
    const totals = lab.hosts.map((_, i) => rates.udp[i] + rates.tcp[i] + rates.other[i]);
    const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
    const perPeer = (value: number) => `${(value / (hosts - 1)).toFixed(1)} B/s`;
    console.log(`${hosts} idle routers, ${Math.round(passed)} s; sent by each, IP headers included:`);
    for (const kind of ["udp", "tcp", "other"] as const)
      console.log(`  ${kind.padEnd(6)} ${perPeer(mean(rates[kind]))} a peer`);
    console.log(`  in all ${perPeer(mean(totals))} a peer (the most: ${perPeer(Math.max(...totals))})`);
    console.log(
      `  with ${PEERS} peers: ${((mean(totals) / (hosts - 1)) * PEERS).toFixed(0)} B/s (${hosts - 1 === PEERS ? "measured" : "from that"})`,
    );
  });
}

await main();
