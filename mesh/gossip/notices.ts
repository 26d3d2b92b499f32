import type { Connection } from "#mesh/connection/connection.js";
import type { GossipSource, NewsSource } from "#mesh/gossip/source.js";
import type { Notice } from "#mesh/gossip.js";
import { MAX_NOTICES, type MeshMessage } from "#mesh/messages.js";
import type { Clock, Timer } from "#src/clock.js";
import type { Random } from "#src/random.js";

/**
 * Time for which notices are collected: between these bounds, at random, so that of two neighbours one is first and the other
 * needs no notice. News along the tree arrive before: they take some milliseconds for each peer.
 */
const COLLECT_MS = { least: 100, most: 300 };

/** Notices for one neighbour of one source. */
interface Pending {
  /** Notices by subject. */
  readonly bySubject: Map<string, string>;
  /** Subjects by the text of their notice. */
  readonly byText: Map<string, string>;
  timer: Timer | undefined;
}

const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");

/** Collects notices for neighbours. Of two notices of one subject only the later is sent. */
export class NoticeQueue {
  readonly #deps: { readonly clock: Clock; readonly random: Random };
  readonly #send: (source: GossipSource, to: Connection, messages: readonly MeshMessage[]) => void;
  readonly #pending = new WeakMap<GossipSource, WeakMap<Connection, Pending>>();
  readonly #timers = new Set<Timer>();

  constructor(
    deps: { readonly clock: Clock; readonly random: Random },
    send: (source: GossipSource, to: Connection, messages: readonly MeshMessage[]) => void,
  ) {
    this.#deps = deps;
    this.#send = send;
  }

  add(source: NewsSource, to: Connection, { notice, subject }: Notice): void {
    const pending = this.#queueOf(source, to);
    const earlier = pending.bySubject.get(subject);
    if (earlier !== undefined) pending.byText.delete(earlier);
    const text = textOf(notice);
    pending.bySubject.set(subject, text);
    pending.byText.set(text, subject);
    if (pending.timer !== undefined) return;
    const { clock, random } = this.#deps;
    const timer = clock.after(COLLECT_MS.least + random.below(COLLECT_MS.most - COLLECT_MS.least), () => {
      this.#timers.delete(timer);
      pending.timer = undefined;
      this.#flush(source, to, pending);
    });
    pending.timer = timer;
    this.#timers.add(timer);
  }

  /** Drops a notice that a neighbour does not need. */
  drop(source: NewsSource, to: Connection, notice: Uint8Array): void {
    const pending = this.#pending.get(source)?.get(to);
    const text = textOf(notice);
    const subject = pending?.byText.get(text);
    if (subject === undefined) return;
    pending!.byText.delete(text);
    pending!.bySubject.delete(subject);
  }

  stop(): void {
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
  }

  #queueOf(source: NewsSource, to: Connection): Pending {
    const queues = this.#pending.get(source) ?? new WeakMap<Connection, Pending>();
    this.#pending.set(source, queues);
    const pending = queues.get(to) ?? { bySubject: new Map(), byText: new Map(), timer: undefined };
    queues.set(to, pending);
    return pending;
  }

  #flush(source: NewsSource, to: Connection, pending: Pending): void {
    const notices = [...pending.bySubject.values()].map((text) => new Uint8Array(Buffer.from(text, "latin1")));
    pending.bySubject.clear();
    pending.byText.clear();
    for (let at = 0; at < notices.length; at += MAX_NOTICES)
      this.#send(source, to, [{ kind: "notices", channel: source.name, notices: notices.slice(at, at + MAX_NOTICES) }]);
  }
}
