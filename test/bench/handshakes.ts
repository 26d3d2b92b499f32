/**
 * `npm run bench:handshakes`: handshakes a second, and the CPU time of each end and step, with a password and without. Both ends run
 * in this process, without sockets: what a connection costs beside them is not counted.
 */
import type { Handshake, HandshakeEffect } from "#mesh/handshake/handshake.js";
import { Initiator } from "#mesh/handshake/initiator.js";
import { PasswordKeys } from "#mesh/handshake/password-keys.js";
import { Responder } from "#mesh/handshake/responder.js";
import { oneSecret } from "#mesh/secrets.js";
import { systemRandom } from "#src/random.js";
import { own } from "#test/unit/mesh/handshake/ends.js";

/** Handshakes before those that count: the optimizing compiler has run then. */
const WARM_UP = 300;
const COUNTED = 1_000;

/** CPU time by step, in microseconds. */
class Steps {
  readonly #total = new Map<string, number>();

  /** Runs a step. */
  run<T>(name: string, step: () => T): T {
    const before = process.cpuUsage();
    const result = step();
    const { user, system } = process.cpuUsage(before);
    this.#total.set(name, (this.#total.get(name) ?? 0) + user + system);
    return result;
  }

  /** Average of each step in milliseconds. */
  averages(count: number): [string, number][] {
    return [...this.#total].map(([name, micros]) => [name, micros / count / 1_000]);
  }
}

const [ONE, OTHER] = [1, 2].map((index) => ({ ...own(index), random: systemRandom }));

/** Runs a handshake to its end, or to the refusal of a wrong password. */
function handshake(ours: PasswordKeys, theirs: PasswordKeys, steps: Steps): void {
  const ends: [Handshake, Handshake] = [
    new Initiator({ ...ONE, password: ours.forDial("") }),
    new Responder({ ...OTHER, passwords: theirs }),
  ];
  let to: 0 | 1 = 0;
  let effects: readonly HandshakeEffect[] = steps.run("initiator  start", () => ends[0].start());
  for (;;) {
    const sent = effects.find((effect) => effect.do === "send");
    if (sent === undefined) return;
    to = to === 0 ? 1 : 0;
    const { state } = ends[to];
    effects = steps.run(`${to === 0 ? "initiator" : "responder"}  ${state}`, () => ends[to].receive(sent.bytes));
  }
}

function measure(what: string, ours: PasswordKeys, theirs: PasswordKeys): void {
  for (let i = 0; i < WARM_UP; i++) handshake(ours, theirs, new Steps());
  const steps = new Steps();
  const began = process.cpuUsage();
  for (let i = 0; i < COUNTED; i++) handshake(ours, theirs, steps);
  const { user, system } = process.cpuUsage(began);
  const both = (user + system) / COUNTED / 1_000;
  const averages = steps.averages(COUNTED);
  const sum = (role: string) =>
    averages.filter(([name]) => name.startsWith(role)).reduce((total, [, ms]) => total + ms, 0);
  console.log(
    `\n${what}: ${(1_000 / both).toFixed(0)} handshakes a second of one core, both ends; ${both.toFixed(2)} ms`,
  );
  for (const role of ["initiator", "responder"])
    console.log(`  ${role.padEnd(34)} ${sum(role).toFixed(2)} ms, ${(1_000 / sum(role)).toFixed(0)} a second`);
  for (const [name, ms] of averages) console.log(`    ${name.padEnd(32)} ${ms.toFixed(3)} ms`);
}

const secret = () => new PasswordKeys(oneSecret(systemRandom.bytes(32)));
const network = secret();
const open = new PasswordKeys(oneSecret(undefined));
console.log("CPU time; the state is that in which the message arrives");
measure("without a password", open, open);
measure("with a password", network, network);
measure("with a wrong password", secret(), network);
