/**
 * An honest peer that joins and leaves: `node newcomer.js PASSWORD VICTIM COUNT`. Prints "ready", then how many milliseconds each connection
 * took from the dial until the victim's hello, and the steps of the longest one, as JSON.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { peerNameFromBytes } from "#mesh/index.js";
import { systemRandom } from "#src/random.js";
import { Intruder } from "./intruder.js";

const [password, victim, count] = process.argv.slice(2);
const times: number[] = [];
let steps: readonly string[] = [];
process.stdout.write("ready\n");
for (let i = 0; i < Number(count); i++) {
  const name = peerNameFromBytes(systemRandom.bytes(6));
  const joining = await Intruder.prepared({ name, password, capture: false });
  const began = performance.now();
  await joining.enter(victim);
  const ms = Math.round(performance.now() - began);
  if (ms > Math.max(0, ...times)) steps = joining.steps;
  times.push(ms);
  joining.stop();
  await sleep(200);
}
process.stdout.write(`${JSON.stringify({ times, steps })}\n`);
process.exit(0);
