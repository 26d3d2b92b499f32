import assert from "node:assert/strict";
import { test } from "node:test";
import { AssemblyBudget } from "#mesh/connection/assembly-budget.js";
import { Connection } from "#mesh/connection/connection.js";
import { Initiator } from "#mesh/handshake/initiator.js";
import { PasswordKeys } from "#mesh/handshake/password-keys.js";
import { oneSecret } from "#mesh/secrets.js";
import { own } from "#test/unit/mesh/handshake/ends.js";
import { assertConnected } from "./assertions.js";
import { Network, type SimulatedPeer } from "./network.js";

/** Dials a peer again and again from some addresses, each time with another password. */
class Guesser {
  running = true;
  readonly #network: Network;
  #next = 1;

  constructor(network: Network, to: SimulatedPeer, options: { perSecond: number; sources: readonly string[] }) {
    this.#network = network;
    const again = () => {
      if (!this.running) return;
      const source = options.sources[this.#next % options.sources.length];
      void network.dial(source, `${to.host}:6783`).then((wire) => {
        const { clock, random } = network;
        const password = new PasswordKeys(oneSecret(random.bytes(32))).forDial("");
        const handshake = new Initiator({ ...own(9), password });
        const none = () => {};
        const events = { opened: none, message: none, malformed: none, responsive: none, closed: none };
        const assemblies = new AssemblyBudget();
        new Connection({ clock, random, wire, dialled: wire.remoteAddress, handshake, assemblies }, events).start();
      });
      this.#next++;
      this.#network.clock.after(1_000 / options.perSecond, again);
    };
    again();
  }
}

const secrets = () => oneSecret(new Uint8Array(32).fill(9));

test("thirty sources that guess are slowed and named; a known peer that restarts, and a new one, get in meanwhile", async () => {
  const network = new Network(31);
  const [hub, known] = [0, 1].map((i) => network.start(i, { secrets: secrets() }));
  network.connect(known, hub);
  await network.clock.run(5_000);
  assertConnected([hub, known]);
  const sources = Array.from({ length: 30 }, (_, i) => `10.9.0.${i + 1}`);
  const guesser = new Guesser(network, hub, { perSecond: 5, sources });
  await network.clock.run(180_000);
  const { wrongPasswords, connections } = hub.mesh.status();
  // 900 connections were made.
  assert.ok(wrongPasswords.total > 60 && wrongPasswords.total < 250, `${wrongPasswords.total}`);
  assert.equal(wrongPasswords.sources.length, 30);
  assert.equal(connections.length, 1);
  known.mesh.stop();
  await network.clock.run(1_000);
  const back = network.start(1, { secrets: secrets() });
  const fresh = network.start(2, { secrets: secrets() });
  network.connect(back, hub);
  network.connect(fresh, hub);
  await network.clock.run(5_000);
  assert.ok(back.mesh.connectionTo(hub.name) !== undefined, "the known peer is not back");
  await network.clock.run(25_000);
  assertConnected([hub, back, fresh]);
  guesser.running = false;
});

test("guesses from a known peer's own address do not keep it out", async () => {
  const network = new Network(32);
  const [hub, known] = [0, 1].map((i) => network.start(i, { secrets: secrets() }));
  network.connect(known, hub);
  await network.clock.run(5_000);
  const guesser = new Guesser(network, hub, { perSecond: 2, sources: [known.host] });
  await network.clock.run(60_000);
  known.mesh.stop();
  await network.clock.run(1_000);
  const back = network.start(1, { secrets: secrets() });
  network.connect(back, hub);
  await network.clock.run(120_000);
  assertConnected([hub, back]);
  guesser.running = false;
});
