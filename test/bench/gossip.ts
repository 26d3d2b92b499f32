/**
 * `npm run bench:gossip [-- PEERS…]`: what the gossip of a mesh costs, in the simulator (no root): all bytes of the connections, their
 * handshakes among them.
 *
 * The network is a ring in which each peer has the three before it as targets, so that each has six connections; discovery is off.
 * All peers start at once. Healing: of a hundred peers those with an even number lose the others for a while, and find them again.
 */
import { withEvents } from "#test/sim/event-peers.js";
import { Network, type SimulatedPeer } from "#test/sim/network.js";

/** WEAVE_BENCH_EVENTS=off: without the events that peers announce. */
const WITH_EVENTS = process.env.WEAVE_BENCH_EVENTS !== "off";
const TARGETS = 3;
const SIZES = [10, 30, 100, 300];
const HEALED = 100;
const CUT_MS = 3 * 60_000;
const IDLE_MS = 10 * 60_000;
const STEP_MS = 500;
const GIVE_UP_MS = 10 * 60_000;

const say = (what: string, value: string) => console.log(`${what.padEnd(58)} ${value}`);
const cpuSeconds = (since?: NodeJS.CpuUsage): number => {
  const { user, system } = process.cpuUsage(since);
  return (user + system) / 1e6;
};

/** Starts a ring. */
function ring(count: number): { network: Network; peers: SimulatedPeer[] } {
  const network = new Network(1);
  const peers = Array.from({ length: count }, (_, i) => network.start(i, { discovery: false }));
  if (WITH_EVENTS) for (const peer of peers) withEvents(network, peer);
  peers.forEach((peer, i) => {
    const targets = Array.from({ length: TARGETS }, (_, d) => peers[(i + count - d - 1) % count]);
    network.connect(peer, ...targets);
  });
  return { network, peers };
}

const isWhole = (peers: readonly SimulatedPeer[]): boolean =>
  peers.every(({ mesh }) => mesh.status().peers.length === peers.length) &&
  new Set(peers.map(({ mesh }) => mesh.digest())).size === 1;

/** Lets time pass until all peers know the same. @returns the time it took, to within a step */
async function settle(network: Network, peers: readonly SimulatedPeer[]): Promise<number> {
  const began = network.clock.now();
  do {
    await network.clock.run(STEP_MS);
    if (network.clock.now() - began > GIVE_UP_MS) throw new Error("the peers did not become one mesh");
  } while (!isWhole(peers));
  return network.clock.now() - began;
}

async function join(count: number): Promise<void> {
  const before = process.cpuUsage();
  const { network, peers } = ring(count);
  const ms = await settle(network, peers);
  await network.clock.run(30_000 - ms);
  const kilobytes = (network.bytes / count / 1_000).toFixed(0);
  say(`${count} peers that join at once`, `${kilobytes} kB a peer, ${cpuSeconds(before).toFixed(1)} s of CPU for all`);
  await network.clock.run(2 * 60_000);
  const { bytes } = network;
  await network.clock.run(IDLE_MS);
  say(`${count} idle peers`, `${((network.bytes - bytes) / count / (IDLE_MS / 1_000)).toFixed(1)} B/s a peer`);
}

async function heal(): Promise<void> {
  const { network, peers } = ring(HEALED);
  await settle(network, peers);
  network.partition((index) => index % 2);
  await network.clock.run(CUT_MS);
  const { bytes } = network;
  const before = process.cpuUsage();
  network.heal();
  const ms = await settle(network, peers);
  const kilobytes = ((network.bytes - bytes) / HEALED / 1_000).toFixed(0);
  say(
    `two halves of ${HEALED} peers that heal`,
    `${kilobytes} kB a peer, ${cpuSeconds(before).toFixed(1)} s of CPU for all, whole after ${ms / 1_000} s`,
  );
}

const sizes = process.argv.slice(2).map(Number);
for (const count of sizes.length > 0 ? sizes : SIZES) await join(count);
if (sizes.length === 0 || sizes.includes(HEALED)) await heal();
