import type { Writable } from "node:stream";
import type { PageMessage, PageState } from "#router/page/page-state.js";
import type { Clock, Timer } from "#src/clock.js";
import { errorText } from "#src/errors.js";
import { messageText, retryMessage } from "#src/http/server-sent-events.js";
import type { Log } from "#src/log.js";

/** Interval between two readings of the state, while at least one page is open. */
export const PAGE_INTERVAL_MS = 2_000;
/** Largest share of the time that the reading may take: the interval grows with it. */
const MAX_SHARE = 0.05;
/** Maximum number of open pages of a router. */
export const MAX_PAGES = 64;
/** Time after which a page that reads nothing is closed: its computer may sleep. */
const STUCK_MS = 60_000;
/** Time after which a page whose connection has ended connects again. */
const RETRY_MS = 2_000;

/** An open page. */
interface Page {
  readonly stream: Writable;
  /** The reading that it has; undefined: it needs all sections. */
  has: Reading | undefined;
  /** Since when it takes nothing, on the monotonic clock. */
  stuckSince: number | undefined;
}

/** A reading of the state, as text by section. */
interface Reading {
  readonly at: number;
  readonly sections: Readonly<Record<string, string>>;
  readonly whole: string;
}

export interface PageFeedDeps {
  readonly clock: Clock;
  readonly log: Log;
  /** Reads the state. */
  readonly read: () => Promise<PageState>;
  /** What all messages have. */
  readonly head: () => Pick<PageMessage, "run" | "build">;
}

/**
 * Sends the state to all open pages: one reading for all, at most every {@link PAGE_INTERVAL_MS}, and none while no page is open.
 * A page receives all sections first, then those that have changed. One that does not read is passed over, so that at most one
 * message waits for it, and receives all sections when it reads again.
 */
export class PageFeed {
  readonly #deps: PageFeedDeps;
  readonly #pages = new Set<Page>();
  #last: Reading | undefined;
  #reading: Promise<Reading> | undefined;
  #next: Timer | undefined;
  #intervalMs = PAGE_INTERVAL_MS;
  #changed: { readonly has: Reading; readonly reading: Reading; readonly text: string } | undefined;

  constructor(deps: PageFeedDeps) {
    this.#deps = deps;
  }

  get isFull(): boolean {
    return this.#pages.size >= MAX_PAGES;
  }

  /** All sections, from a reading that is at most one interval old. Rejects when the state cannot be read. */
  async document(): Promise<string> {
    return (await this.#recent()).whole;
  }

  /** Sends server-sent events to a page until it closes. */
  open(stream: Writable): void {
    const page: Page = { stream, has: undefined, stuckSince: undefined };
    this.#pages.add(page);
    stream.once("close", () => this.#close(page));
    stream.write(retryMessage(RETRY_MS));
    if (this.#last !== undefined && this.#isRecent(this.#last)) this.#send(page, this.#last);
    if (this.#next === undefined) void this.#turn();
  }

  #close(page: Page): void {
    this.#pages.delete(page);
    if (this.#pages.size > 0) return;
    this.#next?.cancel();
    this.#next = undefined;
  }

  /** Reads, sends, and sets the timer for the next turn. */
  async #turn(): Promise<void> {
    this.#next = this.#deps.clock.after(this.#intervalMs, () => void this.#turn());
    try {
      const reading = await this.#recent();
      for (const page of this.#pages) this.#send(page, reading);
    } catch (error) {
      this.#deps.log.warn("the state for the page cannot be read", { why: errorText(error) });
    }
  }

  #isRecent({ at }: Reading): boolean {
    // Timers may be early by a fraction of a millisecond.
    return this.#deps.clock.now() - at < this.#intervalMs - 10;
  }

  #recent(): Promise<Reading> {
    if (this.#last !== undefined && this.#isRecent(this.#last)) return Promise.resolve(this.#last);
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #read(): Promise<Reading> {
    const { clock, read } = this.#deps;
    const at = clock.now();
    const state = await read();
    const sections = Object.fromEntries(Object.entries(state).map(([name, value]) => [name, JSON.stringify(value)]));
    this.#last = { at, sections, whole: this.#message(sections) };
    this.#intervalMs = Math.max(PAGE_INTERVAL_MS, (clock.now() - at) / MAX_SHARE);
    return this.#last;
  }

  #message(sections: Readonly<Record<string, string>>): string {
    const { clock, head } = this.#deps;
    const first = JSON.stringify({ shape: "weave.page/1", ...head(), time: clock.wall() });
    const rest = Object.entries(sections).map(([name, text]) => `,${JSON.stringify(name)}:${text}`);
    return `${first.slice(0, -1)}${rest.join("")}}`;
  }

  #send(page: Page, reading: Reading): void {
    const { stream, has } = page;
    if (has === reading) return;
    if (stream.writableNeedDrain) {
      page.has = undefined;
      page.stuckSince ??= this.#deps.clock.now();
      if (this.#deps.clock.now() - page.stuckSince > STUCK_MS) stream.destroy();
      return;
    }
    page.stuckSince = undefined;
    page.has = reading;
    const data = has === undefined ? reading.whole : this.#changes(has, reading);
    stream.write(messageText({ event: "state", data }));
  }

  /** The sections that differ between two readings. Nearly all pages have the same one, so its text is made once. */
  #changes(has: Reading, reading: Reading): string {
    if (this.#changed?.has !== has || this.#changed.reading !== reading) {
      const changed = Object.entries(reading.sections).filter(([name, text]) => has.sections[name] !== text);
      this.#changed = { has, reading, text: this.#message(Object.fromEntries(changed)) };
    }
    return this.#changed.text;
  }
}
