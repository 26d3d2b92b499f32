import type { NetworkEvent } from "#router/event-log/event.js";
import { eventsDocument } from "#router/event-log/event-document.js";
import type { EventJournal } from "#router/event-log/event-journal.js";
import { type Clock, every, type Timer } from "#src/clock.js";
import type { Answer } from "#src/http/answer.js";
import { eventStreamAnswer, KEEP_ALIVE_MESSAGE, messageText, retryMessage } from "#src/http/server-sent-events.js";

/** Clients that follow at a time, and further places for those of root: any user of the host can take the others. */
export const MAX_FOLLOWERS = 32;
export const ROOT_FOLLOWERS = 8;
/** Bytes that wait for a client that does not read; then it is dropped. They are more than all the events that it is sent at once. */
export const MAX_UNREAD_BYTES = 1 << 20;
/** Events that a client is sent at once, when it begins or returns. */
export const MAX_REPLAYED = 500;
/** Interval of the comments by which both ends learn that the other one is gone. */
const KEEP_ALIVE_MS = 15_000;
/** Time after which a client tries again. */
const RETRY_MS = 2_000;

/** The connection of a client. */
export interface Follower {
  readonly writableLength: number;
  write(text: string): unknown;
  destroy(): unknown;
  on(event: "close", listener: () => void): unknown;
}

export interface EventStreamDeps {
  readonly journal: EventJournal;
  readonly nicknameOf: (peer: string) => string | undefined;
  readonly clock: Clock;
}

/** Sends each new event to the clients that follow, as server-sent events. */
export class EventStream {
  readonly #deps: EventStreamDeps;
  readonly #followers = new Set<Follower>();
  readonly #keepAlive: Timer;
  readonly #unsubscribe: () => void;
  #dropped = 0;

  constructor(deps: EventStreamDeps) {
    this.#deps = deps;
    this.#keepAlive = every(deps.clock, KEEP_ALIVE_MS, () => this.#send(KEEP_ALIVE_MESSAGE));
    this.#unsubscribe = deps.journal.changes.on("event", (event) => this.#send(this.#message(event)));
  }

  /**
   * The answer for a client that follows.
   *
   * @param lastId id of the last event that it has: later ones come first; "" for a new client
   * @param limit events that come first for a new client
   * @param isRoot whether root asks
   */
  answer(lastId: string, limit: number, isRoot = false): Answer {
    if (this.#followers.size >= MAX_FOLLOWERS + (isRoot ? ROOT_FOLLOWERS : 0))
      return {
        status: 503,
        body: `${this.#followers.size} clients follow the events already\n`,
      };
    return eventStreamAnswer((to) => this.#follow(to, lastId, limit));
  }

  /** Clients that follow now, and those that were dropped because they did not read. */
  get counts(): { readonly followers: number; readonly dropped: number } {
    return { followers: this.#followers.size, dropped: this.#dropped };
  }

  stop(): void {
    this.#keepAlive.cancel();
    this.#unsubscribe();
    for (const follower of this.#followers) follower.destroy();
  }

  #follow(to: Follower, lastId: string, limit: number): void {
    const { journal } = this.#deps;
    const earlier = lastId === "" ? journal.recent(Math.min(limit, MAX_REPLAYED)) : journal.after(lastId);
    this.#followers.add(to);
    to.on("close", () => this.#followers.delete(to));
    const replayed = earlier.slice(-MAX_REPLAYED).map((event) => this.#message(event));
    to.write(retryMessage(RETRY_MS) + replayed.join(""));
  }

  #message(event: NetworkEvent): string {
    return messageText({ id: event.id, data: JSON.stringify(eventsDocument([event], this.#deps.nicknameOf)) });
  }

  #send(text: string): void {
    for (const follower of [...this.#followers]) {
      follower.write(text);
      if (follower.writableLength <= MAX_UNREAD_BYTES) continue;
      this.#dropped++;
      this.#followers.delete(follower);
      follower.destroy();
    }
  }
}
