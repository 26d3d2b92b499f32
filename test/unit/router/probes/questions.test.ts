import assert from "node:assert/strict";
import { test } from "node:test";
import type { LegFacts, ProbeAnswer, ProbeQuestion } from "#router/probes/facts.js";
import { decodeQuestionMessage, encodeQuestionMessage, MAX_QUESTION_BYTES } from "#router/probes/question-message.js";
import { QUESTION_MS, Questions } from "#router/probes/questions.js";
import { encode } from "#src/codec.js";
import { silentLog } from "#src/log.js";
import { seededRandom, VirtualClock } from "#test/sim/virtual-time.js";

const [A, B, C] = ["02:00:00:00:00:0a", "02:00:00:00:00:0b", "02:00:00:00:00:0c"];
const NONE = { sent: 0, times: [] };
const LEG: LegFacts = {
  ...{ kind: "leg", via: C, carrier: "sleeve", encrypted: true, mtu: 1_394, reason: "" },
  ...{ small: { sent: 2, times: [0.5, 1] }, full: NONE, fullBytes: 1_376 },
};
const QUESTION = { ask: "leg", to: C } as const;

/** Two routers whose messages this test carries. */
function pair(answer: (question: ProbeQuestion) => Promise<ProbeAnswer> = async () => LEG) {
  const clock = new VirtualClock();
  const make = (name: string, seed: number) => {
    const questions = new Questions({ answer, clock, random: seededRandom(seed), log: silentLog });
    const messages: Uint8Array[] = [];
    const channel = {
      reachable: true,
      unicast(_to: string, payload: Uint8Array) {
        messages.push(payload);
        return channel.reachable;
      },
    };
    questions.open(channel);
    return { name, questions, messages, channel };
  };
  const [a, b] = [make(A, 1), make(B, 2)];
  const deliver = (from: typeof a, to: typeof a) => {
    for (const payload of from.messages.splice(0)) to.questions.gossiper.onUnicast(from.name, payload, from.name);
  };
  return { clock, a, b, deliver };
}

test("a question gets the facts of the other router", async () => {
  const { clock, a, b, deliver } = pair();
  const reply = a.questions.ask(B, QUESTION);
  deliver(a, b);
  await clock.run(1);
  deliver(b, a);
  assert.deepEqual(await reply, { facts: LEG });
});

test("a router that does not answer, or is not reached, is silent", async () => {
  const { clock, a } = pair();
  const reply = a.questions.ask(B, QUESTION);
  await clock.run(QUESTION_MS + 1);
  assert.deepEqual(await reply, { silent: "does not answer questions (an older version?)" });
  a.channel.reachable = false;
  assert.deepEqual(await a.questions.ask(B, QUESTION), { silent: "no message of the mesh reaches it" });
});

test("answers of others, to no question, or of another kind are no answers", async () => {
  const { clock, a } = pair();
  const reply = a.questions.ask(B, QUESTION);
  const sent = decodeQuestionMessage(a.messages[0]);
  const answer = (id: string, facts: ProbeAnswer) => encodeQuestionMessage({ kind: "answer", id, answer: facts });
  const { gossiper } = a.questions;
  gossiper.onUnicast(C, answer(sent.id, LEG), C);
  gossiper.onUnicast(B, answer("00".repeat(16), LEG), B);
  await clock.run(100);
  gossiper.onUnicast(B, answer(sent.id, { kind: "endpoints", endpoints: [] }), B);
  assert.deepEqual(await reply, { silent: "answers another question" });
});

test("an error becomes a refusal, and the next question is answered", async () => {
  let fails = true;
  const { clock, a, b, deliver } = pair(async () => {
    if (fails) throw new Error("the bridge is gone");
    return LEG;
  });
  const ask = async () => {
    const reply = a.questions.ask(B, QUESTION);
    deliver(a, b);
    await clock.run(1);
    deliver(b, a);
    return reply;
  };
  assert.deepEqual(await ask(), { silent: "cannot find out; its log has the reason" });
  fails = false;
  assert.deepEqual(await ask(), { facts: LEG });
});

test("a flood of questions costs a limited number of answers, under any names", async () => {
  let answers = 0;
  const { clock, b } = pair(async () => {
    answers++;
    return LEG;
  });
  const flood = async (sources: (i: number) => string) => {
    for (let i = 0; i < 1_000; i++) {
      const id = i.toString(16).padStart(32, "0");
      b.questions.gossiper.onUnicast(
        sources(i),
        encodeQuestionMessage({ kind: "question", id, question: QUESTION }),
        A,
      );
      await clock.run(1);
    }
  };
  await flood(() => A);
  assert.ok(answers >= 12 && answers <= 17, `${answers} answers to one peer in a second`);
  answers = 0;
  await flood(
    (i) => `02:00:00:00:${(i >> 8).toString(16).padStart(2, "0")}:${(i & 255).toString(16).padStart(2, "0")}`,
  );
  assert.ok(answers <= 42, `${answers} answers to made-up peers behind one neighbour in a second`);
});

test("questions that take long are few at the same time", async () => {
  let running = 0;
  let most = 0;
  const { clock, b } = pair(
    () =>
      new Promise((resolve) => {
        running++;
        most = Math.max(most, running);
        clock.after(60_000, () => {
          running--;
          resolve(LEG);
        });
      }),
  );
  for (let i = 0; i < 40; i++) {
    const peer = `02:00:00:00:01:${(i >> 2).toString(16).padStart(2, "0")}`;
    const message = encodeQuestionMessage({
      kind: "question",
      id: i.toString(16).padStart(32, "0"),
      question: QUESTION,
    });
    b.questions.gossiper.onUnicast(peer, message, peer);
  }
  await clock.run(1);
  assert.equal(most, 8);
});

test("own questions that wait are limited", async () => {
  const { a } = pair();
  for (let i = 0; i < 64; i++) void a.questions.ask(B, QUESTION);
  assert.deepEqual(await a.questions.ask(B, QUESTION), { silent: "too many questions of this host wait for answers" });
});

const ENDPOINT = {
  ...{ id: "netns:a", name: "a", state: "running", mac: "0a:00:00:00:00:01", addresses: ["10.32.0.1/12"] },
  ...{ port: "vethwepl1", portState: "forwarding", isolated: false, up: true, mtu: 1_376, arp: { sent: 0, times: [] } },
};

test("malformed messages are rejected: too long, control characters, numbers out of range", () => {
  const id = "ab".repeat(16);
  const rejected: unknown[] = [
    { kind: "question", id, question: { ask: "leg", to: "x" } },
    { kind: "question", id, question: { ask: "endpoints", what: "a\u001b[2J" } },
    { kind: "question", id, question: { ask: "endpoints", what: "a".repeat(256) } },
    { kind: "question", id, question: { ask: "reach", peer: "", address: "10.0.0.256", mac: "" } },
    { kind: "question", id: "1", question: QUESTION },
    { kind: "answer", id, answer: { ...LEG, reason: "a".repeat(301) } },
    { kind: "answer", id, answer: { ...LEG, small: { sent: 21, times: [] } } },
    { kind: "answer", id, answer: { ...LEG, small: { sent: 1, times: Array(21).fill(1) } } },
    { kind: "answer", id, answer: { ...LEG, small: { sent: 1, times: [-1] } } },
    { kind: "answer", id, answer: { ...LEG, carrier: "\u202e" } },
    ...["999.1.1.1/8", "10.0.0.1/33"].map((cidr) => ({
      ...{ kind: "answer", id },
      answer: { kind: "endpoints", endpoints: [{ ...ENDPOINT, addresses: [cidr] }] },
    })),
    { kind: "other", id },
  ];
  const good = { kind: "answer", id, answer: { kind: "endpoints", endpoints: [ENDPOINT] } };
  assert.deepEqual(decodeQuestionMessage(encode(good)), good);
  for (const message of rejected)
    assert.throws(() => decodeQuestionMessage(encode(message)), { code: "WEAVE_MESSAGE_MALFORMED" });
  assert.throws(() => decodeQuestionMessage(new Uint8Array(MAX_QUESTION_BYTES + 1)), {
    code: "WEAVE_MESSAGE_MALFORMED",
  });
});
