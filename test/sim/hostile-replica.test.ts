import assert from "node:assert/strict";
import { test } from "node:test";
import type { Gossiper } from "#mesh/gossip.js";
import { Replica } from "#mesh/replica/replica.js";
import { Replicas } from "#mesh/replica/replicas.js";
import { silentLog } from "#src/log.js";
import { nameOf, stateOf, statesPayload, WORDS, type Word, wordsOf } from "#test/unit/mesh/replica/words.js";
import { GossipNetwork, SimNode } from "./gossip-network.js";
import { changed, validMessages } from "./replica-corpus.js";

const HONEST = 5;
const HOSTILE = 5;
const SHARE_BYTES = 512 << 10;

class Host extends SimNode {
  replica: Replica<Word> | undefined;
  replicas: Replicas | undefined;
}

/** Honest hosts, and a hostile one, which is a neighbour of all, and has the key of its own name alone. */
class HostileNetwork extends GossipNetwork<Host> {
  /** What the hostile host has received: it can send it again, as it is or changed. */
  readonly caught: Uint8Array[] = [];

  constructor(seed: number) {
    super(seed, { lost: 50, doubled: 50, delay: 100 });
    this.repairMs = 30_000;
    for (let i = 0; i <= HONEST; i++) this.hosts.push(new Host(i));
    for (const host of this.hosts)
      if (host.index === HOSTILE) this.#startHostile(host);
      else this.#start(host);
  }

  get honest(): Host[] {
    return this.hosts.slice(0, HONEST);
  }

  #start(host: Host): void {
    host.life++;
    host.replicas = new Replicas(host.signer);
    host.replica = new Replica({
      self: host.name,
      incarnation: this.clock.wall(),
      format: WORDS,
      clock: this.clock,
      log: silentLog,
      replicas: host.replicas,
      shareBytes: SHARE_BYTES,
      peers: this.peers(host),
    });
    host.gossiper = host.replica;
    host.replica.open(this.channel(host));
    this.began(host);
  }

  #startHostile(host: Host): void {
    const keep = (payload: Uint8Array) => {
      if (this.caught.length < 200) this.caught.push(payload);
    };
    const gossiper: Gossiper = {
      onUnicast: (_from, payload) => keep(payload),
      onBroadcast() {},
      onGossip: (_from, payload) => {
        keep(payload);
        return undefined;
      },
      state: () => undefined,
    };
    host.life++;
    host.gossiper = gossiper;
    this.began(host);
  }

  /** One second of the hostile host's flood. */
  flood(): void {
    const host = this.hosts[HOSTILE];
    const channel = this.channel(host);
    const { random } = this;
    const now = this.clock.wall();
    const corpus = [...validMessages(HOSTILE, [0, 1, 2, 3, 4], now - 1_000), ...this.caught];
    for (let i = 0; i < 30; i++) {
      const message = corpus[random.below(corpus.length)];
      const to = this.hosts[random.below(HONEST)].name;
      channel.unicast(to, random.below(3) === 0 ? message : changed(message, random));
    }
    // Its own records are large, and differ from one neighbour to the next.
    for (const { name, index } of this.honest) {
      const fields = Array.from({ length: 15 }, (_, i) => ({ word: `${index} ${i} ${"x".repeat(900)}` }));
      const state = stateOf(WORDS, HOSTILE, { incarnation: now, fields, version: 1_000, signer: host.signer });
      channel.unicast(name, statesPayload(state));
    }
  }
}

async function runFlood(seed: number): Promise<void> {
  const network = new HostileNetwork(seed);
  await network.run(5_000);
  let words = 0;
  for (let second = 0; second < 60; second++) {
    network.flood();
    const { replica } = network.honest[network.random.below(HONEST)];
    if (second % 3 === 0) replica!.add({ word: `w${words++}` });
    if (second % 10 === 9) replica!.remove(({ version }) => version % 2 === 0);
    await network.run(1_000);
    for (const host of network.honest) assert.ok(host.replica!.heapBytes <= SHARE_BYTES, `seed ${seed}: memory`);
  }
  // The flood goes on while the others repair what was lost.
  for (let second = 0; second < 90; second++) {
    network.flood();
    await network.run(1_000);
  }
  assert.deepEqual(network.errors, [], `seed ${seed}`);
  const own = (host: Host) => wordsOf(host.replica!).filter((each) => Number(each.split(" ")[0]) !== HOSTILE);
  const truth = network.honest
    .flatMap(({ index, replica }) => replica!.own().map(({ word }) => `${index} ${word}`))
    .sort();
  assert.ok(truth.length > 3);
  for (const host of network.honest) {
    assert.deepEqual(own(host), truth, `seed ${seed}: ${host.name}`);
    const { byNeighbour, counts } = host.replicas!.rejections;
    assert.ok(counts.forged > 10 && counts.malformed > 10, JSON.stringify(counts));
    for (const [neighbour, { forged, malformed }] of byNeighbour)
      if (neighbour !== nameOf(HOSTILE))
        assert.deepEqual([forged, malformed], [0, 0], `seed ${seed}: ${neighbour} is honest`);
    assert.deepEqual(
      host.replica!.equivocations.map(({ origin }) => origin),
      [nameOf(HOSTILE)],
    );
  }
}

test("floods of a hostile neighbour: memory is bounded, the others' records arrive, and only the hostile one is named", async () => {
  for (let seed = 0; seed < 2; seed++) await runFlood(seed);
});
