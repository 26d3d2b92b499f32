import type { GossipChannel, Gossiper } from "#mesh/gossip.js";
import type { PeerName } from "#mesh/peer.js";
import type { FactsFor, ProbeAnswer, ProbeQuestion } from "#router/probes/facts.js";
import { decodeQuestionMessage, encodeQuestionMessage, type QuestionMessage } from "#router/probes/question-message.js";
import type { Clock } from "#src/clock.js";
import { errorText } from "#src/errors.js";
import type { Log } from "#src/log.js";
import type { Random } from "#src/random.js";
import { RateLimiter } from "#src/rate-limiter.js";
import { toHex } from "#src/text.js";

/** The gossip channel of questions. A peer of an earlier version relays it, and does not answer. */
export const PROBES_CHANNEL = "probes";
/** How long an answer is awaited: its probes take up to 1.5 s. */
export const QUESTION_MS = 4_000;
/** Own questions without an answer. */
const MAX_OUTSTANDING = 64;
/** Questions of others that are being answered at the same time, and those of one peer. */
const MAX_ANSWERING = 8;
const MAX_ANSWERING_OF = 3;
/**
 * Questions that are answered: of each peer by its own word, of each neighbour that passes them on, and of all. A trace asks each router at most
 * four; a name that no router knows is asked of each once.
 */
const LIMITS = {
  of: { perSecond: 4, burst: 12 },
  neighbour: { perSecond: 10, burst: 30 },
  all: { perSecond: 20, burst: 60 },
};
/** Shortest interval between two log lines about refused questions. */
const LOG_MS = 60_000;

/** An answer, or why there is none. */
export type Reply<T> = { readonly facts: T } | { readonly silent: string };

export interface QuestionsDeps {
  /** Answers a question from the facts of this host. */
  readonly answer: (question: ProbeQuestion) => Promise<ProbeAnswer>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

interface Outstanding {
  readonly to: PeerName;
  readonly resolve: (answer: ProbeAnswer) => void;
}

/** What the answer to each question is called. */
const KIND_OF = { leg: "leg", endpoints: "endpoints", reach: "reach" } as const;

/** Questions between routers: each by one unicast message, and its answer by another one. */
export class Questions {
  readonly #deps: QuestionsDeps;
  readonly #outstanding = new Map<string, Outstanding>();
  readonly #of: RateLimiter;
  readonly #neighbour: RateLimiter;
  readonly #all: RateLimiter;
  /** Questions that are being answered, by the peer that asks. */
  readonly #answering = new Map<PeerName, number>();
  #answeringAll = 0;
  #channel: Pick<GossipChannel, "unicast"> | undefined;
  #loggedAt = Number.NEGATIVE_INFINITY;

  constructor(deps: QuestionsDeps) {
    this.#deps = deps;
    this.#of = new RateLimiter(deps.clock, LIMITS.of);
    this.#neighbour = new RateLimiter(deps.clock, LIMITS.neighbour);
    this.#all = new RateLimiter(deps.clock, LIMITS.all);
  }

  /** The receiving end of the channel. */
  get gossiper(): Gossiper {
    return {
      onUnicast: (from, payload, neighbour) => this.#receive(from, payload, neighbour),
      onBroadcast() {},
      onGossip: () => undefined,
      state: () => undefined,
    };
  }

  /** Sets the sending end of the channel. */
  open(channel: Pick<GossipChannel, "unicast">): void {
    this.#channel = channel;
  }

  /** Asks another router. Never rejects. */
  ask<Q extends ProbeQuestion>(to: PeerName, question: Q): Promise<Reply<FactsFor<Q>>> {
    const { random, clock } = this.#deps;
    if (this.#outstanding.size >= MAX_OUTSTANDING)
      return Promise.resolve({ silent: "too many questions of this host wait for answers" });
    const id = toHex(random.bytes(16));
    return new Promise((resolve) => {
      const end = (reply: Reply<FactsFor<Q>>) => {
        timer.cancel();
        this.#outstanding.delete(id);
        resolve(reply);
      };
      const timer = clock.after(QUESTION_MS, () => end({ silent: "does not answer questions (an older version?)" }));
      const answered = (answer: ProbeAnswer) => {
        if (answer.kind === KIND_OF[question.ask]) return end({ facts: answer as FactsFor<Q> });
        end({ silent: answer.kind === "refused" ? answer.why : "answers another question" });
      };
      this.#outstanding.set(id, { to, resolve: answered });
      if (!this.#send(to, { kind: "question", id, question })) end({ silent: "no message of the mesh reaches it" });
    });
  }

  #send(to: PeerName, message: QuestionMessage): boolean {
    return this.#channel?.unicast(to, encodeQuestionMessage(message)) === true;
  }

  /** @throws WEAVE_MESSAGE_MALFORMED */
  #receive(from: PeerName, payload: Uint8Array, neighbour: PeerName): void {
    const message = decodeQuestionMessage(payload);
    if (message.kind === "answer") {
      const outstanding = this.#outstanding.get(message.id);
      if (outstanding?.to === from) outstanding.resolve(message.answer);
      return;
    }
    const why = this.#refusal(from, neighbour);
    // Without an answer: what is refused costs nothing more.
    if (why !== undefined) return this.#logRefusal(from, why);
    this.#answering.set(from, (this.#answering.get(from) ?? 0) + 1);
    this.#answeringAll++;
    void this.#answer(from, message.id, message.question);
  }

  #refusal(from: PeerName, neighbour: PeerName): string | undefined {
    if (this.#answeringAll >= MAX_ANSWERING || (this.#answering.get(from) ?? 0) >= MAX_ANSWERING_OF)
      return "too many questions at the same time";
    const admitted = this.#neighbour.admit(neighbour) && this.#of.admit(from) && this.#all.admit("");
    return admitted ? undefined : "too many questions a second";
  }

  async #answer(from: PeerName, id: string, question: ProbeQuestion): Promise<void> {
    const { answer, log } = this.#deps;
    try {
      this.#send(from, { kind: "answer", id, answer: await answer(question) });
    } catch (error) {
      log.warn("a question of another peer cannot be answered", { from, ask: question.ask, why: errorText(error) });
      this.#send(from, {
        kind: "answer",
        id,
        answer: { kind: "refused", why: "cannot find out; its log has the reason" },
      });
    } finally {
      this.#answeringAll--;
      const left = this.#answering.get(from)! - 1;
      if (left === 0) this.#answering.delete(from);
      else this.#answering.set(from, left);
    }
  }

  #logRefusal(from: PeerName, why: string): void {
    const { clock, log } = this.#deps;
    if (clock.now() - this.#loggedAt < LOG_MS) return;
    this.#loggedAt = clock.now();
    log.warn("questions of other peers are not answered", { from, why });
  }
}
