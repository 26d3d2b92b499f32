/**
 * `npm run bench [-- --json FILE]`: the overlay against the bare wire and against the kernel's VXLAN (not encrypted), on
 * two hosts of this machine, all in one run: compare the ratios, not the figures of different runs.
 */
import { writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { type Host, hostTestsImpossible, Lab, type Namespace, until } from "#test/lab/lab.js";
import { cpuSeconds, median, pingTimes, rssMegabytes, tcpGbits } from "#test/lab/measure.js";

const SECONDS = 4;
const ROUNDS = 3;
const IDLE_SECONDS = 20;

interface Row {
  readonly what: string;
  readonly tcp1: number;
  readonly tcp4: number;
  readonly pingMs: number;
  readonly pingP99Ms: number;
}

async function measure(what: string, from: Namespace, to: Namespace, address: string): Promise<Row> {
  const best = { tcp1: [] as number[], tcp4: [] as number[] };
  for (let round = 0; round < ROUNDS; round++) {
    best.tcp1.push(await tcpGbits(from, to, address, { seconds: SECONDS }));
    best.tcp4.push(await tcpGbits(from, to, address, { seconds: SECONDS, streams: 4 }));
  }
  await pingTimes(from, address, 100);
  const times = await pingTimes(from, address, 500);
  const middle = (values: number[]) => median(values.sort((a, b) => a - b));
  const row = {
    what,
    tcp1: middle(best.tcp1),
    tcp4: middle(best.tcp4),
    pingMs: median(times),
    pingP99Ms: times[Math.floor(times.length * 0.99)],
  };
  console.log(
    `  ${what.padEnd(26)} ${row.tcp1.toFixed(2).padStart(7)} ${row.tcp4.toFixed(2).padStart(7)} ${row.pingMs.toFixed(3).padStart(9)} ${row.pingP99Ms.toFixed(3).padStart(9)}`,
  );
  return row;
}

/** Two containers on the kernel's own VXLAN, through the same wire. */
async function vxlan(hosts: readonly Host[]): Promise<Namespace[]> {
  const containers: Namespace[] = [];
  for (const [i, host] of hosts.entries()) {
    const remote = hosts[1 - i].address;
    const container = await host.container("x");
    await host.must("ip", "link", "add", "vxbr", "type", "bridge");
    await host.must(
      "ip",
      "link",
      "add",
      "vx0",
      "type",
      "vxlan",
      "id",
      "42",
      "dstport",
      "4789",
      "local",
      host.address,
      "remote",
      remote,
    );
    await host.must("ip", "link", "add", "vxc", "type", "veth", "peer", "name", "eth0", "netns", container.ns);
    for (const port of ["vx0", "vxc"]) await host.must("ip", "link", "set", port, "master", "vxbr", "up");
    await host.must("ip", "link", "set", "vxbr", "up");
    await container.must("ip", "link", "set", "eth0", "mtu", "1450", "up");
    await container.must("ip", "address", "add", `10.77.0.${i + 1}/24`, "dev", "eth0");
    containers.push(container);
  }
  return containers;
}

async function main(): Promise<void> {
  const impossible = hostTestsImpossible();
  if (impossible !== undefined) throw new Error(`the bench ${impossible}`);
  const lab = await Lab.create(2);
  try {
    const [h1, h2] = lab.hosts;
    const timed = async (run: () => Promise<unknown>) => {
      const began = performance.now();
      await run();
      return performance.now() - began;
    };
    const launchMs = [await timed(() => h1.launch()), await timed(() => h2.launch())];
    const c1 = await h1.attach("c", "10.32.0.1/12");
    const c2 = await h2.attach("c", "10.32.0.2/12");
    // Known to one another already: what is timed is the overlay, not ARP's pause of a second.
    const macOf = async (ns: Namespace) => (await ns.must("cat", "/sys/class/net/ethwe/address")).trim();
    await c1.must("ip", "neighbour", "add", "10.32.0.2", "lladdr", await macOf(c2), "dev", "ethwe");
    await c2.must("ip", "neighbour", "add", "10.32.0.1", "lladdr", await macOf(c1), "dev", "ethwe");
    const connectMs = await timed(async () => {
      await h2.ok("connect", h1.address);
      await until("the first ping", async () => (await c1.ping("10.32.0.2", { count: 1, wait: 0.05 })) === 1);
    });

    console.log(
      `congestion control: ${(await h1.must("cat", "/proc/sys/net/ipv4/tcp_congestion_control")).trim()}; TCP in Gbit/s (median of ${ROUNDS}), ping in ms\n`,
    );
    console.log(
      `  ${"".padEnd(26)} ${"TCP 1".padStart(7)} ${"TCP 4".padStart(7)} ${"ping p50".padStart(9)} ${"ping p99".padStart(9)}`,
    );
    const [x1, x2] = await vxlan(lab.hosts);
    const wire = await measure("bare wire", h1, h2, h2.address);
    const kernel = await measure("kernel VXLAN, in clear", x1, x2, "10.77.0.2");
    const sleeve = await measure("weave sleeve, encrypted", c1, c2, "10.32.0.2");

    const pid = h1.routerPid!;
    const rssMb = rssMegabytes(pid);
    await sleep(1_000);
    const before = cpuSeconds(pid);
    await sleep(IDLE_SECONDS * 1_000);
    const idlePercent = ((cpuSeconds(pid) - before) / IDLE_SECONDS) * 100;
    const ratio = {
      vxlanTcp1: sleeve.tcp1 / kernel.tcp1,
      vxlanTcp4: sleeve.tcp4 / kernel.tcp4,
      wireTcp1: sleeve.tcp1 / wire.tcp1,
    };

    console.log(
      `\n  sleeve against VXLAN        TCP 1 ${ratio.vxlanTcp1.toFixed(2)}, TCP 4 ${ratio.vxlanTcp4.toFixed(2)}; against the bare wire ${ratio.wireTcp1.toFixed(2)}`,
    );
    console.log(`  launch to ready             ${launchMs.map((ms) => ms.toFixed(0)).join(", ")} ms`);
    console.log(`  connect to first ping       ${connectMs.toFixed(0)} ms (two commands' start included)`);
    console.log(
      `  router after the load       ${rssMb.toFixed(0)} MB resident; idle ${idlePercent.toFixed(2)} % of a core (over ${IDLE_SECONDS} s)`,
    );
    const at = process.argv.indexOf("--json");
    if (at > 0)
      writeFileSync(
        process.argv[at + 1],
        `${JSON.stringify({ rows: [wire, kernel, sleeve], ratio, launchMs, connectMs, rssMb, idlePercent }, null, 2)}\n`,
      );
  } finally {
    await lab.dispose();
  }
}

await main();
