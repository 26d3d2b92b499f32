import assert from "node:assert/strict";
import { ATTACKS } from "#test/hostile/attacks.js";
import { Field, outcomeText } from "#test/hostile/field.js";
import { labTest } from "#test/lab/lab-test.js";

/** What the victim counts of some attacks. */
const NOTED: Readonly<Record<string, RegExp>> = {
  "forged-records": /^weave_messages_quarantined_total\{about="records"/m,
  oversized: /^weave_messages_quarantined_total/m,
  malformed: /^weave_messages_quarantined_total/m,
  "stolen-name": /^weave_connections_refused_total|Conflict/m,
  "wrong-passwords": /^weave_connections_refused_total/m,
};
/** A port of the victim on its loopback address, to which baits lead. */
const BAIT_PORT = "9999";
const MB = { most: 300 };

// `npm run hostile` runs each attack for as long as wanted.
labTest(
  "a hostile member, and strangers: none of their attacks ends a session of honest peers, keeps a frame, a name or an address from them, or fills the memory",
  { hosts: 4, timeout: 900_000 },
  async (lab) => {
    const field = new Field(lab);
    await field.setUp();
    const bait = await field.victim.background("receive", BAIT_PORT);
    let caught = false;
    bait.result.then(
      () => {
        caught = true;
      },
      () => {},
    );
    for (const attack of Object.keys(ATTACKS)) {
      const outcome = await field.run(attack, 2);
      console.log(outcomeText(outcome));
      assert.equal(outcome.done.failure, undefined, attack);
      assert.match(outcome.noted.join("\n"), NOTED[attack] ?? /^/, `${attack}: nothing is counted`);
      assert.ok(outcome.rss.most < MB.most, `${attack}: ${outcome.rss.most} MB`);
      assert.equal(outcome.done.admitted, undefined, `${attack}: the name of an honest peer was taken`);
    }
    assert.ok(!caught, "a bait made the victim connect to itself");
    bait.kill();
  },
);
