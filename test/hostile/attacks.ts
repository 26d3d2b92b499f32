import { setTimeout as sleep } from "node:timers/promises";
import type { PeerLink, PeerName, PeerRecord } from "#mesh/peer.js";
import { encodeReplicaMessage, MAX_NAME, MIN_NAME, type ReplicaMessage } from "#mesh/replica/replica-message.js";
import { TOPOLOGY_FORMAT, type TopologyRecord } from "#mesh/topology/record.js";
import { systemRandom } from "#src/random.js";
import { signedState } from "#test/sim/signed-state.js";
import { type Attack, anyName, type Field, HEX } from "./attack.js";
import { type Captured, CHANNELS, Intruder, type IntruderOptions } from "./intruder.js";
import { EXTREMES, mutate, mutateBytes, pack, pick, unpack } from "./mutation.js";
import { STRANGER_ATTACKS } from "./strangers.js";

const random = systemRandom;

/** Lets one intruder send what `next` makes, for as long as the attack lasts. */
async function asMember(
  field: Field,
  next: (intruder: Intruder) => unknown,
  options: Partial<IntruderOptions> = {},
): Promise<void> {
  const intruder = await Intruder.joined(field.victims[0], {
    name: anyName(),
    password: field.password,
    ...options,
  });
  field.count("sessions");
  // What honest peers say is the matter of forgeries.
  await sleep(300);
  await flooding(field, intruder, next);
}

async function flooding(field: Field, intruder: Intruder, next: (intruder: Intruder) => unknown): Promise<void> {
  let lost = 0;
  while (!field.signal.aborted) {
    if (intruder.connections.length === 0) {
      if (lost++ === 0) field.count("sessions ended");
      await sleep(50);
      continue;
    }
    lost = 0;
    await intruder.send(next(intruder));
  }
  field.count("messages", intruder.sentMessages);
  intruder.stop();
}

// ── Topology ────────────────────────────────────────────────────────────────────────────────────────────────────────

const recordOf = (intruder: Intruder, name: PeerName, change: Partial<PeerRecord>): PeerRecord => ({
  ...(intruder.mesh.peer(name) ?? intruder.mesh.status().self),
  name,
  uid: HEX(8),
  ...change,
});

const link = (to: PeerName, address: string): PeerLink => ({
  to,
  key: HEX(8),
  address,
  outbound: true,
  established: true,
});

/** The records of a peer as news of the topology, signed by the intruder, of any peer; some changed after that. */
function topology(intruder: Intruder, record: PeerRecord, changes = false): unknown {
  const { signer } = intruder;
  const { name: origin, nickname, key, uid, links } = record;
  const records: TopologyRecord[] = [
    { kind: "self", nickname, identity: signer.identity, key, uid },
    ...links.map((each) => ({ kind: "link" as const, ...each })),
  ];
  const count = (value: number, least: number) =>
    Number.isSafeInteger(value) && value >= least && value < 2 ** 48 ? value : least;
  const of = {
    origin,
    incarnation: count(record.incarnation, Date.now()),
    version: count(record.version, records.length),
  };
  const states = [signedState(TOPOLOGY_FORMAT, signer, of, records)];
  const whole = encodeReplicaMessage({ kind: "states", states });
  const payload = changes ? pack(mutate(unpack(whole), random)) : whole;
  return { kind: "push", channel: "topology", from: intruder.name, payload };
}

function forgedRecord(intruder: Intruder): unknown {
  const victim = pick([...intruder.others, intruder.name], random);
  const known = intruder.mesh.peer(victim);
  const counter = (now = 0) => (random.below(2) === 0 ? now + random.below(1_000) : pick(EXTREMES, random));
  return topology(
    intruder,
    recordOf(intruder, victim, {
      incarnation: counter(known?.incarnation) as number,
      version: counter(known?.version) as number,
      links: [],
      ...(random.below(3) === 0 ? { key: HEX(32) } : {}),
      ...(random.below(3) === 0 ? { identity: HEX(32) } : {}),
    }),
    random.below(2) === 0,
  );
}

const manyLinks = (count: number, address: (i: number) => string): PeerLink[] =>
  Array.from({ length: count }, (_, i) => link(anyName(), address(i)));

// ── Channels ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A message of a gossip channel, as anyone can make it. */
function channelMessage(intruder: Intruder, { channel, how, from, payload }: Captured): unknown {
  const message = { kind: how, channel, from, payload };
  const to = pick([...intruder.others, intruder.name], random);
  return how === "unicast" ? { ...message, to, hops: 8 } : how === "broadcast" ? { ...message, hops: 8 } : message;
}

function forgedPayload(intruder: Intruder, channels: readonly string[] = CHANNELS): unknown {
  const usable = intruder.captured.filter(({ channel }) => channels.includes(channel));
  if (usable.length === 0)
    return {
      kind: "gossip",
      channel: pick(channels, random),
      from: pick([...intruder.others, intruder.name], random),
      payload: pack(mutate({ kind: "digest", range: "10.32.0.0/12" }, random)),
    };
  const caught = pick(usable, random);
  let data = unpack(caught.payload);
  for (let i = random.below(4); i >= 0; i--) data = mutate(data, random);
  const from = random.below(2) === 0 ? caught.from : pick([...intruder.others, intruder.name], random);
  const how = pick(["unicast", "broadcast", "gossip", caught.how] as const, random);
  return channelMessage(intruder, {
    ...caught,
    how,
    from,
    payload: random.below(8) === 0 ? mutateBytes(caught.payload, random) : pack(data),
  });
}

/** A request to the first neighbour for all states of a set: by their names, or by a summary that has none of them. */
function request(intruder: Intruder): unknown {
  const to = intruder.connections[0].remote!.name;
  const origins = [...intruder.others].map((origin) => ({ origin, incarnation: 0, version: 0 }));
  const message: ReplicaMessage =
    random.below(2) === 0
      ? { kind: "summary", mask: -1 >>> 0, first: MIN_NAME, last: MAX_NAME, entries: [] }
      : { kind: "want", origins };
  const payload = encodeReplicaMessage(message);
  return {
    kind: "unicast",
    channel: pick(["topology", "nameserver"], random),
    from: intruder.name,
    to,
    hops: 8,
    payload,
  };
}

/** What allocators say, with all owners replaced by the intruder, and higher counters: a transfer or a takeover that no peer made. */
function takeover(intruder: Intruder): unknown {
  const usable = intruder.captured.filter(({ channel }) => channel === "IPallocation");
  if (usable.length === 0) return forgedPayload(intruder, ["IPallocation"]);
  const caught = pick(usable, random);
  const others = new Set<string>(intruder.others);
  const mine = (value: unknown): unknown => {
    if (typeof value === "string") return others.has(value) ? intruder.name : value;
    if (typeof value === "number") return random.below(2) === 0 ? value + random.below(1_000) : value;
    if (Array.isArray(value)) return value.map(mine);
    if (value === null || typeof value !== "object" || value instanceof Uint8Array) return value;
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, mine(each)]));
  };
  const data = unpack(caught.payload) as { body?: { kind?: unknown } };
  const forged = mine(data) as { body?: { kind?: unknown } };
  if (forged?.body !== undefined && data.body?.kind !== undefined) forged.body.kind = data.body.kind;
  const from = random.below(2) === 0 ? caught.from : intruder.name;
  return channelMessage(intruder, {
    ...caught,
    from,
    how: pick(["broadcast", "gossip", "unicast"] as const, random),
    payload: pack(forged),
  });
}

/** An election with impossible rounds, or a first ring of 4,096 peers. */
function election(intruder: Intruder): unknown {
  const peers = Array.from({ length: 4_096 }, anyName);
  const round = [pick(EXTREMES, random), intruder.name];
  const body =
    random.below(2) === 0
      ? {
          kind: "election",
          votes: [...intruder.others, ...peers.slice(0, random.below(300))].map((peer) => [
            peer,
            [1, round, round, peers.slice(0, 3)],
          ]),
        }
      : { kind: "ring", genesis: { at: pick(EXTREMES, random), peers, electors: peers }, part: [], ask: true };
  const payload = pack({ range: "10.32.0.0/12", body });
  return channelMessage(intruder, {
    channel: "IPallocation",
    how: pick(["gossip", "broadcast"] as const, random),
    from: pick([...intruder.others, intruder.name], random),
    payload,
  });
}

export const ATTACKS: Readonly<Record<string, Attack>> = {
  none: {
    what: "no attack, for comparison",
    async run({ signal }) {
      while (!signal.aborted) await sleep(50);
    },
  },
  "forged-records": {
    what: "records of other peers, with any counters and keys",
    run: (field) => asMember(field, forgedRecord),
  },
  "forged-payloads": {
    what: "what others say on all channels, changed, under any name",
    run: (field) => asMember(field, (intruder) => forgedPayload(intruder)),
  },
  replayed: {
    what: "what others have said, again and again",
    run: (field) =>
      asMember(field, (intruder) =>
        intruder.captured.length === 0
          ? { kind: "heartbeat" }
          : channelMessage(intruder, pick(intruder.captured, random)),
      ),
  },
  equivocating: {
    what: "one identity that says different things to different peers under the same counters",
    async run(field) {
      const options = { name: anyName(), password: field.password, seed: random.bytes(32), incarnation: Date.now() };
      const twins = await Promise.all(
        field.victims.slice(0, 2).map((victim, i) => Intruder.join(victim, { ...options, from: field.sources[i] })),
      );
      field.count("sessions", twins.length);
      while (!field.signal.aborted) {
        for (const [i, twin] of twins.entries()) {
          const self = twin.mesh.status().self;
          await twin.send(topology(twin, { ...self, version: 9, links: manyLinks(i + 1, () => "10.99.0.77:6783") }));
        }
        await sleep(100);
      }
      for (const twin of twins) twin.stop();
    },
  },
  "far-future": {
    what: "a peer whose clock and counters are far ahead",
    async run(field) {
      const day = 24 * 3_600_000;
      const peers = [0.9, 3, 400_000].map((days) =>
        Intruder.join(field.victims[0], { name: anyName(), password: field.password, aheadMs: days * day }),
      );
      for (const intruder of await Promise.all(peers)) {
        void flooding(field, intruder, forgedRecord);
        await sleep(20);
      }
      while (!field.signal.aborted) await sleep(50);
    },
  },
  oversized: {
    what: "messages of many megabytes, long lists, long texts",
    run: (field) =>
      asMember(field, (intruder) =>
        pick(
          [
            () => ({
              kind: "gossip",
              channel: pick(CHANNELS, random),
              from: intruder.name,
              payload: random.bytes(9 << 20),
            }),
            // A record has at most 2,048 bytes, and an honest nickname far fewer characters.
            () => topology(intruder, recordOf(intruder, intruder.name, { nickname: "x".repeat(1_900) })),
            () =>
              topology(intruder, recordOf(intruder, intruder.name, { links: manyLinks(5_000, () => "10.99.0.9:1") })),
            () => ({ kind: "want", names: Array.from({ length: 200_000 }, () => "02:00:00:00:00:01") }),
            () => ({ kind: "gossip", channel: "x".repeat(1 << 20), from: intruder.name, payload: random.bytes(9) }),
            () => ({ kind: "overlay", payload: random.bytes(9 << 20) }),
          ],
          random,
        )(),
      ),
  },
  "stolen-name": {
    what: "another key under the name of an honest peer, while it is there",
    async run(field) {
      while (!field.signal.aborted) {
        // The names of the lab's hosts.
        const name = pick(["02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03"] as const, random);
        const thief = await Intruder.join(pick(field.victims, random), {
          name,
          password: field.password,
          capture: false,
        });
        for (let i = 0; i < 20 && !field.signal.aborted; i++) {
          await thief.send(forgedRecord(thief));
          await sleep(50);
        }
        field.count("attempts");
        if (thief.connections.length > 0) field.count("admitted");
        thief.stop();
      }
    },
  },
  "topology-bombs": {
    what: "records with 4,096 links each, of thousands of origins",
    run: (field) => {
      let bombs = 0;
      return asMember(field, (intruder) => {
        const origin = bombs++ < 60 ? intruder.name : anyName();
        const links = manyLinks(4_096, (i) => `10.${bombs & 255}.${i >> 8}.${i & 255}:6783`);
        return topology(
          intruder,
          recordOf(intruder, origin, {
            key: HEX(32),
            identity: HEX(32),
            incarnation: Date.now(),
            version: bombs,
            links,
          }),
        );
      });
    },
  },
  "ipam-forgeries": {
    what: "transfers, takeovers, rings and elections that no peer agreed to",
    run: (field) =>
      asMember(field, (intruder) =>
        pick([takeover, takeover, election, (i: Intruder) => forgedPayload(i, ["IPallocation"])], random)(intruder),
      ),
  },
  "names-flood": {
    what: "names without end, changed copies of true ones among them",
    run: (field) => asMember(field, (intruder) => forgedPayload(intruder, ["nameserver"])),
  },
  "forged-overlay": {
    what: "messages and keys of the frame path that were never agreed on",
    run: (field) =>
      asMember(field, () => ({
        kind: "overlay",
        payload:
          random.below(2) === 0
            ? random.bytes(random.below(2_000))
            : pack(
                mutate(
                  {
                    kind: pick(["open", "key", "arrivals", "record"], random),
                    session: 1,
                    epoch: 1,
                    key: random.bytes(32),
                    record: random.bytes(100),
                  },
                  random,
                ),
              ),
      })),
  },
  "discovery-bait": {
    what: "addresses of the victim's own host, of its cloud's metadata service and of others, as addresses of peers",
    run: (field) =>
      asMember(field, (intruder) => {
        const baits = [
          "127.0.0.1:9999",
          "169.254.169.254:80",
          "localhost:9999",
          "0.0.0.0:9999",
          "[::1]:9999",
          field.victims[0].replace(/:.*/, ":9999"),
        ];
        return topology(
          intruder,
          recordOf(intruder, intruder.name, {
            incarnation: Date.now(),
            version: random.below(1e6),
            links: manyLinks(64, () => pick(baits, random)),
          }),
        );
      }),
  },
  hops: {
    what: "relayed messages with any hop count, to all peers and to none",
    run: (field) =>
      asMember(field, (intruder) => ({
        kind: pick(["unicast", "broadcast"], random),
        channel: pick([...CHANNELS, "x"], random),
        from: pick([...intruder.others, intruder.name, anyName()], random),
        to: pick([...intruder.others, intruder.name, anyName()], random),
        hops: pick([8, 31, 32, ...EXTREMES], random),
        payload: random.bytes(random.below(2_000)),
      })),
  },
  "control-flood": {
    what: "short messages at line speed, most of them asking for an answer",
    run: (field) => {
      const kinds = ["probe", "probe", "heartbeat", "digest", "want", "summary"];
      return asMember(field, (intruder) => {
        const kind = pick(kinds, random);
        if (kind === "digest") return { kind, digest: HEX(16) };
        if (kind === "want") return { kind, names: [...intruder.others, ...intruder.others] };
        return kind === "summary" ? { kind, entries: [] } : { kind };
      });
    },
  },
  malformed: {
    what: "messages of no kind, and of every kind with parts that it does not have",
    run: (field) =>
      asMember(field, () =>
        mutate(
          {
            kind: pick(["topology", "summary", "want", "gossip", "push", "notices", "branch", "bye", "x"], random),
            records: [],
            channel: "nameserver",
            notices: [random.bytes(8)],
          },
          random,
        ),
      ),
  },
  "never-reads": {
    what: "requests for large answers, which are not read",
    async run(field) {
      const intruder = await Intruder.joined(field.victims[0], { name: anyName(), password: field.password });
      for (const { wire } of intruder.connections) wire.pause();
      await flooding(field, intruder, () => request(intruder));
    },
  },
  "many-members": {
    what: "twenty identities at once, which send what the others send",
    async run(field) {
      const names = Array.from({ length: 20 }, anyName);
      await Promise.all(
        names.map((name, i) =>
          asMember(field, (intruder) => pick([forgedRecord, forgedPayload, takeover], random)(intruder), {
            name,
            from: field.sources[i % field.sources.length],
          }),
        ),
      );
    },
  },
  "many-names": {
    what: "one identity after the other, each under a name of its own",
    async run(field) {
      while (!field.signal.aborted) {
        const options = { name: anyName(), password: field.password, capture: false };
        const next = await Intruder.joined(field.victims[0], { ...options, from: pick(field.sources, random) }).catch(
          () => undefined,
        );
        if (next !== undefined) field.count("admitted identities");
        next?.stop();
      }
    },
  },
  ...STRANGER_ATTACKS,
};
