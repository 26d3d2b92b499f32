/**
 * The hostile peer: `node program.js ATTACK SECONDS PASSWORD VICTIM,VICTIM… SOURCE,SOURCE…`. Prints "ready", then, at its end, what it has
 * done, as JSON.
 */
import { ATTACKS } from "./attacks.js";

const [name, seconds, password, victims, sources] = process.argv.slice(2);
const attack = ATTACKS[name];
if (attack === undefined) throw new Error(`no attack ${name}; there are ${Object.keys(ATTACKS).join(" ")}`);
const done: Record<string, number> = {};
const over = new AbortController();
process.stdout.write("ready\n");
// An attack that does not get in must end in time as well.
setTimeout(() => over.abort(), Number(seconds) * 1_000);
const end = (failure?: unknown) => {
  process.stdout.write(
    `${JSON.stringify({ ...done, ...(failure === undefined ? {} : { failure: String(failure) }) })}\n`,
  );
  process.exit(0);
};
setTimeout(() => end(), (Number(seconds) + 5) * 1_000).unref();
await attack
  .run({
    victims: victims.split(","),
    password: password === "" ? undefined : password,
    sources: sources.split(","),
    signal: over.signal,
    count(what, by = 1) {
      done[what] = (done[what] ?? 0) + by;
    },
  })
  .then(() => end(), end);
