import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { documentText } from "#cli/json/document.js";
import { traceDocument } from "#cli/probes/documents.js";
import { traceLines } from "#cli/probes/trace-text.js";
import { lastStep, verdictOf } from "#cli/probes/verdict.js";
import type { EndpointFacts, LegFacts, ReachFacts } from "#router/probes/facts.js";
import type { Located } from "#router/probes/locator.js";
import type { TraceFacts } from "#router/probes/tracer.js";
import { shapeFaults } from "#test/lab/json-shape.js";

const [H1, H2, H3] = ["02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03"];
const NICKNAMES = { [H1]: "h1", [H2]: "h2", [H3]: "h3" };
const [MAC_A, MAC_B] = ["0a:00:00:00:00:01", "0a:00:00:00:00:02"];
const WELL = { sent: 5, times: [1, 1, 1, 1, 1] };
const NONE = { sent: 0, times: [] };
const LOST = { sent: 5, times: [] };

const endpoint = (name: string, mac: string, cidr: string, change: Partial<EndpointFacts> = {}): EndpointFacts => ({
  ...{ id: `netns:${name}`, name: `${name}.weave.local`, state: "running", mac, addresses: [cidr] },
  ...{ port: "vethwepl1", portState: "forwarding", isolated: false, up: true, mtu: 1_376, arp: WELL },
  ...change,
});
const place = (text: string, peer: string, facts: EndpointFacts | null, change: Partial<Located> = {}): Located => ({
  ...{
    text,
    kind: "container",
    peer,
    address: facts?.addresses[0]?.split("/")[0] ?? "10.32.0.2",
    mac: facts?.mac ?? "",
  },
  ...{ endpoint: facts, silent: "", others: [], claimants: [] },
  ...change,
});
const leg = (via: string, change: Partial<LegFacts> = {}): LegFacts => ({
  ...{ kind: "leg", via, carrier: "sleeve", encrypted: true, mtu: 1_394, reason: "" },
  ...{ small: WELL, full: WELL, fullBytes: 1_376 },
  ...change,
});
const reach = (change: Partial<ReachFacts> = {}): ReachFacts => ({
  ...{ kind: "reach", host: WELL, container: WELL, macs: [MAC_B], place: H3 },
  ...change,
});

interface TraceChange {
  readonly near?: Partial<EndpointFacts>;
  readonly far?: Partial<EndpointFacts> | null;
  readonly to?: Partial<Located>;
  readonly legs?: readonly (Partial<LegFacts> | string)[];
  readonly reach?: Partial<ReachFacts> | null;
}

/** A trace from "a" on h1 to "b" on h3 by h2, with changes; a leg that is a text is silent for that reason. */
function traceOf({ near, far = {}, to, legs = [{}, {}], reach: reached = {} }: TraceChange = {}): TraceFacts {
  return {
    from: place("a", H1, endpoint("a", MAC_A, "10.32.0.1/12", near)),
    to: place("b", H3, far === null ? null : endpoint("b", MAC_B, "10.32.0.2/12", far), to),
    legs: legs.map((each, i) => {
      const at = [H1, H2][i];
      if (typeof each === "string") return { at, facts: null, silent: each };
      return { at, facts: leg([H2, H3][i], each), silent: "" };
    }),
    reach: reached === null ? null : reach(reached),
    reachSilent: reached === null ? "does not answer questions" : "",
  };
}

const judge = (parts: TraceChange) => verdictOf(traceOf(parts), NICKNAMES);
const UNREACHED = { host: LOST, container: LOST };

test("a way without faults reaches the far end", () => {
  assert.deepEqual(judge({}), { end: undefined, notes: [] });
});

test("each fault has its step, its reason and a remedy", () => {
  const cases: [TraceChange, step: number, why: RegExp, next: RegExp][] = [
    [{ near: { state: "paused" } }, 1, /^a is paused$/, /docker unpause a/],
    [{ near: { up: false } }, 1, /^the interface of a is down$/, /restart the container/],
    [
      { near: { portState: "disabled" } },
      1,
      /^the port vethwepl1 of the bridge is disabled$/,
      /ip link show vethwepl1/,
    ],
    [{ near: { isolated: true } }, 1, /is isolated: frames pass neither/, /isolated off/],
    [{ near: { arp: LOST } }, 1, /^a does not answer its own host's ARP probes$/, /arp_ignore/],
    [{ near: { mac: "" } }, 1, /^a has no interface on the bridge$/, /weave attach a/],
    [
      { near: { addresses: ["10.2.0.1/16"] } },
      1,
      /^10\.32\.0\.2 is in no subnet of a \(10\.2\.0\.0\/16\)/,
      /weave attach net:SUBNET a/,
    ],
    [{ near: { addresses: [] } }, 1, /^the interface of a has no address$/, /weave attach a/],
    [
      { far: { addresses: ["10.32.0.2/30"] }, near: { addresses: ["10.32.9.1/12"] } },
      1,
      /^no address of a is in a subnet of b/,
      /one subnet/,
    ],
    [{ legs: [{ via: "" }], reach: UNREACHED }, 2, /^h1 has no route from there on$/, /weave status connections/],
    [
      { legs: [{}, { small: LOST, full: NONE }], reach: UNREACHED },
      3,
      /^no frame passes from h2 to h3 and back$/,
      /weave doctor/,
    ],
    [
      { legs: [{ small: LOST, full: NONE, reason: "UDP does not pass", carrier: "stream" }, {}], reach: UNREACHED },
      2,
      /^no frame passes from h1 to h2 and back: UDP does not pass$/,
      /open UDP 6783/,
    ],
    [
      { legs: [{}, { full: LOST }], reach: UNREACHED },
      3,
      /^small frames pass from h2 to h3, those of 1376 bytes do not$/,
      /--mtu/,
    ],
    [
      { legs: [{}, "does not answer questions"], reach: UNREACHED },
      3,
      /^h2 does not answer questions: the way from there on is not known$/,
      /upgrade/,
    ],
    [
      { legs: [{ small: LOST, full: NONE }, "does not answer questions"], reach: UNREACHED },
      2,
      /^no probe from h1 to h2 is answered, and h2 does not/,
      /older version/,
    ],
    [{ far: { state: "ended" } }, 4, /^b has ended/, /Start it again/],
    [{ far: { up: false }, reach: UNREACHED }, 4, /^the interface of b is down$/, /./],
    [
      { reach: { container: LOST, place: H2 } },
      4,
      /^h1 sends frames for 0a:00:00:00:00:02 to h2, but b is on h3$/,
      /one MAC/,
    ],
    [
      { reach: { container: LOST } },
      4,
      /^every step is well by itself, and b does not answer h1; its host answers$/,
      /bridged frames on h3/,
    ],
    [
      { far: null, to: { silent: "is not reachable" }, reach: UNREACHED },
      4,
      /^b does not answer, and its host h3 is not reachable$/,
      /weave ps/,
    ],
    [{ reach: null }, 4, /^h1 does not answer questions: whether b answers it is not known$/, /weave trace/],
  ];
  for (const [parts, step, why, next] of cases) {
    const { end } = judge(parts);
    assert.equal(end?.step, step, `${why}: ${end?.why}`);
    assert.match(end.why, why);
    assert.match(end.next, next);
  }
});

test("what is wrong although frames pass is noted", () => {
  const cases: [TraceChange, step: number, why: RegExp][] = [
    [
      { legs: [{ small: { sent: 10, times: [1, 1, 1] } }, {}] },
      2,
      /^46\.7 % of the probes from h1 to h2 or of their answers are lost$/,
    ],
    [
      { legs: [{}, { carrier: "stream", reason: "UDP does not pass: no answer for 12 s" }] },
      3,
      /^h3: frames use stream: UDP does not pass/,
    ],
    [{ legs: [{}, { full: LOST }] }, 3, /^small frames pass from h2 to h3/],
    [{ legs: [{}, "does not answer questions"] }, 3, /^h2 does not answer questions/],
    [{ legs: [{ mtu: 1_200 }, {}] }, 4, /^packets above 1200 bytes are cut on the way/],
    [{ far: { mtu: 1_200 } }, 4, /have different MTUs, 1376 and 1200/],
    [{ reach: { container: { sent: 5, times: [1] } } }, 4, /^of the probes from end to end some are lost/],
    [
      {
        to: {
          claimants: [
            { mac: MAC_A, peer: H2 },
            { mac: MAC_B, peer: "" },
          ],
        },
      },
      4,
      /^2 interfaces answer for 10\.32\.0\.2: 0a:00:00:00:00:01 on h2 and 0a:00:00:00:00:02$/,
    ],
  ];
  for (const [parts, step, why] of cases) {
    const { end, notes } = judge(parts);
    assert.equal(end, undefined, end?.why);
    assert.ok(
      notes.some((note) => note.step === step && why.test(note.why)),
      `${why}: ${JSON.stringify(notes)}`,
    );
  }
});

test("whatever routers report, there is a text and a document, the step exists, and an end has a remedy", () => {
  const trips = fc.constantFrom(WELL, NONE, LOST, { sent: 3, times: [0.2, 4] });
  const facts = fc.record(
    {
      ...{ via: fc.constantFrom("", H2, H3), carrier: fc.constantFrom("", "sleeve", "stream", "fastdp", "other") },
      ...{
        encrypted: fc.boolean(),
        mtu: fc.constantFrom(0, 576, 1_394),
        reason: fc.constantFrom("", "VXLAN does not pass", "x"),
      },
      ...{ small: trips, full: trips },
    },
    { requiredKeys: [] },
  );
  const state = fc.record(
    {
      ...{
        state: fc.constantFrom("running" as const, "paused" as const, "ended" as const),
        mac: fc.constantFrom("", MAC_B),
      },
      ...{
        addresses: fc.constantFrom<string[]>([], ["10.32.0.2/12"], ["10.2.0.2/16", "10.32.0.2/30"]),
        port: fc.constantFrom("", "veth1"),
      },
      ...{
        portState: fc.constantFrom("", "forwarding", "disabled"),
        isolated: fc.boolean(),
        up: fc.boolean(),
        arp: trips,
      },
      id: fc.constantFrom("weave:expose", "ab".repeat(32), "netns:x"),
    },
    { requiredKeys: [] },
  );
  const parts: fc.Arbitrary<TraceChange> = fc.record(
    {
      ...{
        near: state,
        far: fc.option(state),
        legs: fc.array(fc.oneof(facts, fc.constant("is silent")), { maxLength: 2 }),
      },
      reach: fc.option(fc.record({ host: trips, container: trips, place: fc.constantFrom("", H2, H3) })),
      to: fc.record({ kind: fc.constantFrom("peer" as const, "container" as const), peer: fc.constantFrom(H1, H3) }),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(parts, (each) => {
      const trace = traceOf(each);
      const verdict = verdictOf(trace, NICKNAMES);
      for (const { step, why, next } of [...verdict.notes, ...(verdict.end ? [verdict.end] : [])]) {
        assert.ok(step >= 1 && step <= lastStep(trace));
        assert.ok(why !== "" && next !== "" && !`${why}${next}`.includes("undefined"), `${why} ${next}`);
      }
      const text = traceLines(trace, verdict, NICKNAMES).join("\n");
      assert.ok(!/undefined|null|NaN|\[object/.test(text), text);
      assert.deepEqual(shapeFaults("trace", documentText("trace", traceDocument(trace, verdict, NICKNAMES))), []);
    }),
  );
});

test("a name that another host has chosen is no part of a command, unless it is one plain word", () => {
  for (const name of ["x;reboot", "$(reboot)", "`reboot`", "a b", "-a", "a\nb", "a'b"]) {
    const faults: Partial<EndpointFacts>[] = [{ state: "paused" }, { mac: "" }, { addresses: [] }];
    for (const fault of faults) {
      const { end } = judge({ far: { name, ...fault } });
      assert.ok(/'(docker unpause|weave attach) NAME'/.test(end!.next), `${name}: ${end!.next}`);
    }
    for (const fault of [{ portState: "disabled" }, { isolated: true }]) {
      const { end } = judge({ far: { port: name, ...fault } });
      assert.ok(/ PORT( isolated off)?'/.test(end!.next) && !end!.next.includes(name), `${name}: ${end!.next}`);
    }
  }
});
