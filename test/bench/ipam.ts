/**
 * `npm run bench:ipam`: what address allocation costs. Bytes and convergence are taken in the simulator, whose relay
 * spreads gossip as the mesh does; times of real routers in network namespaces.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Allocator } from "#ipam/allocator.js";
import { Ring } from "#ipam/ring/ring.js";
import { parseSubnet } from "#ipam/ring/subnet.js";
import { encodeIpamMessage } from "#ipam/wire/ipam-message.js";
import { makeSigner } from "#mesh/signing.js";
import { systemClock } from "#src/clock.js";
import { silentLog } from "#src/log.js";
import { systemRandom } from "#src/random.js";
import { memoryStore, type Store } from "#src/store.js";
import { lmdbStore } from "#src/store-lmdb.js";
import { inLab } from "#test/lab/lab.js";
import { median } from "#test/lab/measure.js";
import { hostTestsImpossible } from "#test/lab/requirements.js";
import { connected } from "#test/lab/wait.js";
import { IpamNetwork } from "#test/sim/ipam-network.js";

const RANGE = "10.32.0.0/12";
const CALM = { lost: 0, doubled: 0, delay: 5 };
const say = (what: string, value: string) => console.log(`${what.padEnd(58)} ${value}`);
const peerName = (index: number) => `02:00:00:00:${hex(index >> 8)}:${hex(index & 255)}`;
const hex = (value: number) => value.toString(16).padStart(2, "0");

async function allocationRate(store: Store, count: number): Promise<number> {
  const self = peerName(1);
  const allocator = new Allocator({
    self,
    range: parseSubnet(RANGE),
    init: { mode: "seed", peers: [self] },
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    signer: makeSigner(new Uint8Array(32).fill(1)),
    store,
    peers: {
      reachable: () => new Set(),
      nickname: () => undefined,
      identity: () => undefined,
      pinnedIdentity: () => undefined,
    },
  });
  allocator.open({ unicast: () => false, broadcast() {}, gossip() {} });
  await allocator.requests.prime();
  const began = performance.now();
  for (let i = 0; i < count; i++)
    await allocator.requests.allocate(`container-${i}`, allocator.range, { container: true });
  const seconds = (performance.now() - began) / 1_000;
  allocator.stop();
  return count / seconds;
}

async function rates(): Promise<void> {
  say("allocations a second, in memory", Math.round(await allocationRate(memoryStore(), 50_000)).toLocaleString("en"));
  const folder = mkdtempSync(join(tmpdir(), "weave-bench-"));
  try {
    const store = lmdbStore(join(folder, "data.db"));
    say(
      "allocations a second, each on disk before the answer",
      Math.round(await allocationRate(store, 5_000)).toLocaleString("en"),
    );
    await store.close();
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Peers that know each other and have a ring. */
async function settled(count: number): Promise<IpamNetwork> {
  const network = new IpamNetwork(1, CALM);
  network.repairMs = 60_000;
  const peers = Array.from({ length: count }, (_, i) => peerName(i));
  for (let i = 0; i < count; i++) network.add({ mode: "seed", peers }, RANGE);
  for (const host of network.hosts) network.start(host);
  await network.run(10_000);
  return network;
}

async function gossipBytes(count: number): Promise<void> {
  const network = await settled(count);
  const [host] = network.hosts;
  const allocator = host.allocator!;
  const cost = async (run: () => Promise<unknown>, times: number) => {
    // Repairs go on meanwhile: what they cost alone is taken off.
    const quiet = network.bytes;
    await network.run(2_000);
    const idle = network.bytes - quiet;
    let [bytes, messages] = [-network.bytes, -network.messages];
    const done = run();
    await network.run(2_000);
    await done;
    bytes += network.bytes - idle;
    messages += network.messages;
    return { bytes: Math.max(0, bytes) / times, messages: messages / times };
  };
  const each = await cost(
    () => Promise.all(Array.from({ length: 100 }, (_, i) => allocator.requests.allocate(`c${i}`, allocator.range))),
    100,
  );
  say(`${count} peers: bytes sent for an allocation`, each.bytes.toFixed(0));
  const other = network.hosts[1].allocator!.ring!.ownedBy(network.hosts[1].name)[0];
  const gift = await cost(() => allocator.requests.claim("claimed", { address: other.start + 77n, prefix: 12 }), 1);
  say(
    `${count} peers: a donation: bytes sent in all, and for each peer`,
    `${(gift.bytes / 1_024).toFixed(1)} KB in ${gift.messages.toFixed(0)} messages, ${(gift.bytes / count).toFixed(0)} B`,
  );
}

async function convergence(): Promise<void> {
  const network = await settled(100);
  network.repairMs = 30_000;
  network.partition((index) => index % 2);
  // Each half goes on: every peer gives and takes.
  const wanted = network.hosts.map(({ allocator }, i) => {
    const neighbour = network.hosts[(i + 2) % 100];
    const { start } = neighbour.allocator!.ring!.ownedBy(neighbour.name)[0];
    return allocator!.requests.claim(`c${i}`, { address: start + 99n, prefix: 12 });
  });
  await network.run(30_000);
  await Promise.all(wanted);
  const differ = () => new Set(network.hosts.map(({ allocator }) => allocator!.ring!.digest)).size > 1;
  const before = { bytes: network.bytes, at: network.clock.now(), cpu: process.cpuUsage() };
  network.heal();
  while (differ()) await network.run(10);
  const { user, system } = process.cpuUsage(before.cpu);
  say(
    "100 peers in two halves, 100 donations, healed: all agree after",
    `${network.clock.now() - before.at} ms (virtual), ${((user + system) / 1e6).toFixed(2)} s of CPU for all 100, ` +
      `${((network.bytes - before.bytes) / 1e6).toFixed(1)} MB sent`,
  );
}

function ringMemory(): void {
  const range = parseSubnet(RANGE);
  const genesis = { peers: Array.from({ length: 1_000 }, (_, i) => peerName(i)), at: Date.now() };
  global.gc?.();
  const before = process.memoryUsage().heapUsed;
  const rings = Array.from({ length: 20 }, () => Ring.first(range, genesis));
  global.gc?.();
  const bytes = (process.memoryUsage().heapUsed - before) / rings.length;
  const wire = encodeIpamMessage(range.text, {
    kind: "ring",
    genesis,
    spans: rings[0].spans,
    ask: false,
    stands: [],
  }).length;
  say(
    "a ring of 1,000 peers: memory, and on the wire",
    `${(bytes / 1_024).toFixed(0)} KB, ${(wire / 1_024).toFixed(0)} KB`,
  );
  const changed = { ...rings[0].spans[500], value: { ...rings[0].spans[500].value, version: 1 } };
  const began = performance.now();
  for (let i = 0; i < 100; i++) rings[i % 20].join([changed]);
  say("a ring of 1,000 peers: to merge one change", `${((performance.now() - began) / 100).toFixed(2)} ms`);
}

async function realRouters(): Promise<void> {
  const why = hostTestsImpossible();
  if (why !== undefined) return say("real routers", `not measured: ${why}`);
  const firsts: number[] = [];
  const nexts: number[] = [];
  for (let run = 0; run < 5; run++) {
    await inLab(3, async ({ hosts }) => {
      const [h1] = hosts;
      await Promise.all(hosts.map((host) => host.launch("--ipalloc-init", "consensus=3")));
      for (const host of hosts) if (host !== h1) await host.ok("connect", h1.address);
      for (const host of hosts) await connected(host, 2);
      const timed = async (ident: string) => {
        const began = performance.now();
        const { status } = await h1.api("POST", `/ip/${ident}`);
        if (status !== 200) throw new Error(`allocation answered ${status}`);
        return performance.now() - began;
      };
      firsts.push(await timed("first"));
      for (let i = 0; i < 200; i++) nexts.push(await timed(`c${i}`));
    });
  }
  say("first allocation in a fresh 3-peer network (election, HTTP)", `${median(firsts).toFixed(0)} ms (median of 5)`);
  say("every later one, over HTTP", `${median(nexts).toFixed(2)} ms (median of ${nexts.length})`);
}

await rates();
for (const count of [10, 100, 300]) await gossipBytes(count);
await convergence();
ringMemory();
await realRouters();
