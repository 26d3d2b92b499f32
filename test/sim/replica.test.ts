import assert from "node:assert/strict";
import { test } from "node:test";
import * as z from "zod/mini";
import { textFormat } from "#mesh/replica/record-format.js";
import { Replica } from "#mesh/replica/replica.js";
import { Replicas } from "#mesh/replica/replicas.js";
import { silentLog } from "#src/log.js";
import { memoryStore } from "#src/store.js";
import { GossipNetwork, SimNode, type Weather } from "./gossip-network.js";

interface Word {
  readonly word: string;
}

const FORMAT = textFormat<Word>("words", { word: z.string().check(z.maxLength(32)) }, ({ word }) => 100 + word.length);

/** A host with a replica, while its process runs, and a disk. */
class ReplicaHost extends SimNode {
  replica: Replica<Word> | undefined;
  disk = new Map<string, unknown>();
  incarnation = 0;
  /** The live records that this host must have. */
  readonly truth = new Set<string>();
}

class ReplicaNetwork extends GossipNetwork<ReplicaHost> {
  constructor(seed: number, weather: Weather, count: number) {
    super(seed, weather);
    this.repairMs = 30_000;
    this.noticeMs = 3_000;
    for (let i = 0; i < count; i++) this.hosts.push(new ReplicaHost(i));
    for (const host of this.hosts) this.start(host);
  }

  start(host: ReplicaHost): void {
    const life = ++host.life;
    const replica = new Replica({
      self: host.name,
      incarnation: ++host.incarnation,
      format: FORMAT,
      storePrefix: "words/",
      replicas: new Replicas(host.signer),
      shareBytes: 8 << 20,
      clock: {
        now: () => this.clock.now(),
        // The hosts' clocks differ by hours: convergence must not depend on them.
        wall: () => this.clock.wall() + host.index * 3_600_000,
        after: (ms, run) => this.clock.after(ms, () => host.life === life && this.guarded(host, run)),
      },
      log: silentLog,
      store: memoryStore(host.disk),
      peers: this.peers(host),
    });
    host.replica = replica;
    host.gossiper = replica;
    replica.open(this.channel(host));
    this.began(host);
  }

  override kill(host: ReplicaHost): void {
    host.replica = undefined;
    super.kill(host);
  }
}

/** One random event: a change of records, a crash, a restart, a new disk, a partition, or a long pause. */
async function act(network: ReplicaNetwork, step: number): Promise<void> {
  const { random, hosts } = network;
  const host = hosts[random.below(hosts.length)];
  const { replica, truth } = host;
  const point = random.below(100);
  if (point < 45) {
    if (replica?.add({ word: `w${step % 40}` })) truth.add(`w${step % 40}`);
  } else if (point < 65) {
    const word = [...truth][random.below(truth.size)];
    if (replica !== undefined && word !== undefined) {
      replica.remove((record) => record.word === word);
      truth.delete(word);
    }
  } else if (point < 73 && replica !== undefined) network.kill(host);
  else if (point < 83 && replica === undefined) network.start(host);
  else if (point < 86 && replica === undefined) {
    host.disk = new Map();
    truth.clear();
    network.start(host);
  } else if (point < 91) network.partition(() => random.below(2));
  else if (point < 96) network.heal();
  // Longer than tombstones are kept.
  else await network.run(40 * 60_000);
}

/** @returns the rounds of repair until all replicas were equal, and the traffic */
async function runSchedule(seed: number, count: number): Promise<{ rounds: number; bytes: number; records: number }> {
  const network = new ReplicaNetwork(seed, { lost: 150, doubled: 100, delay: 400 }, count);
  const { random, hosts } = network;
  for (let step = 0; step < 120; step++) {
    await act(network, step);
    await network.run(random.below(3_000));
  }
  for (const host of hosts) if (host.replica === undefined) network.start(host);
  network.weather = { lost: 0, doubled: 0, delay: 5 };
  network.noticeMs = 0;
  network.heal(true);
  await network.run(10);
  let rounds = 0;
  while (new Set(hosts.map(({ replica }) => replica!.digest)).size > 1) {
    assert.ok(++rounds < 20, `seed ${seed}: replicas differ after ${rounds} rounds of repair`);
    await network.run(network.repairMs);
  }
  assert.deepEqual(network.errors, [], `seed ${seed}`);
  const truth = hosts.flatMap(({ name, truth }) => [...truth].map((word) => `${name} ${word}`)).sort();
  for (const { replica } of hosts) {
    const live = [...replica!.all()].filter(({ tombstone }) => tombstone === 0);
    const found = live.map(({ origin, word }) => `${origin} ${word}`).sort();
    assert.deepEqual(found, truth, `seed ${seed}: records that their owners do not have, or lack`);
  }
  return { rounds, bytes: network.bytes, records: truth.length };
}

test("40 schedules of loss, duplication, reordering, partitions, restarts and lost disks: replicas converge to the owners' records", async () => {
  let most = 0;
  let records = 0;
  for (let seed = 0; seed < 40; seed++) {
    const result = await runSchedule(seed, 3 + (seed % 8));
    most = Math.max(most, result.rounds);
    records += result.records;
  }
  assert.ok(most <= 5, `it took ${most} rounds of repair`);
  // A schedule that leaves no record would test nothing.
  assert.ok(records > 400, `only ${records} records`);
});

test("a schedule replays: the same seed gives the same traffic to the byte", async () => {
  assert.deepEqual(await runSchedule(7, 6), await runSchedule(7, 6));
});
