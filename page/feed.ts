import type { FiguresSection, PageMessage, PageState } from "#router/page/page-state.js";

/** The connection to the router. */
export type Contact = "connecting" | "live" | "lost" | "refused";

/** Bytes in a second over one link; the newest last. */
export interface Rates {
  readonly sent: readonly number[];
  readonly received: readonly number[];
}

/** What the page knows at one time. */
export interface Live {
  readonly contact: Contact;
  /** Milliseconds since the epoch, by the clock of this computer: of the last change of {@link contact}. */
  readonly since: number;
  /** The last state; undefined before the first. */
  readonly state: PageState | undefined;
  /** Throughput of each neighbour by name, and in total under "". */
  readonly rates: ReadonlyMap<string, Rates>;
  /** When another run of the router was seen, by the clock of this computer. */
  readonly restarted: number | undefined;
  /** The router has other files of the page than this one. */
  readonly outdated: boolean;
}

/** Values of throughput that are kept: two minutes. */
const HISTORY = 60;
/** Without a message for this time the router does not answer: it sends one every two seconds, fewer when it is slow. */
const SILENT_MS = 12_000;
/** Delay of the next attempt after the router has refused the stream. */
const RETRY_MS = 5_000;

/** Follows the router's state: connects again when it is gone, and keeps the last state meanwhile. */
export class Feed {
  live: Live = {
    contact: "connecting",
    since: Date.now(),
    state: undefined,
    rates: new Map(),
    restarted: undefined,
    outdated: false,
  };
  readonly #changed: (live: Live) => void;
  #source: EventSource | undefined;
  #run: string | undefined;
  #build: string | undefined;
  #figures: FiguresSection | undefined;
  #silent: number | undefined;
  #retry: number | undefined;

  constructor(changed: (live: Live) => void) {
    this.#changed = changed;
    // A page that is not seen costs nothing.
    document.addEventListener("visibilitychange", () => (document.hidden ? this.#stop() : this.#connect()));
    this.#connect();
  }

  #connect(): void {
    this.#stop();
    const source = new EventSource("page/stream");
    this.#source = source;
    source.addEventListener("state", ({ data }) => this.#receive(JSON.parse(data) as PageMessage));
    source.addEventListener("error", () => {
      this.#become("lost");
      // An answer that is no stream ends the attempts of the browser.
      if (source.readyState === EventSource.CLOSED) void this.#readOnce();
    });
  }

  #stop(): void {
    this.#source?.close();
    clearTimeout(this.#silent);
    clearTimeout(this.#retry);
  }

  /** The stream was refused: there are too many pages, or the router is starting. */
  async #readOnce(): Promise<void> {
    this.#retry = setTimeout(() => this.#connect(), RETRY_MS);
    try {
      const answer = await fetch("page/state");
      if (!answer.ok) return;
      this.#merge((await answer.json()) as PageMessage);
      this.#become("refused");
    } catch {
      // The router is gone: the next attempt follows.
    }
  }

  #receive(message: PageMessage): void {
    clearTimeout(this.#silent);
    this.#silent = setTimeout(() => {
      this.#become("lost");
      this.#connect();
    }, SILENT_MS);
    this.#merge(message);
    this.#become("live");
  }

  #become(contact: Contact): void {
    const since = contact === this.live.contact ? this.live.since : Date.now();
    this.live = { ...this.live, contact, since };
    this.#changed(this.live);
  }

  #merge({ shape: _shape, run, build, time: _time, ...sections }: PageMessage): void {
    const restarted = this.#run !== undefined && this.#run !== run;
    this.#run = run;
    this.#build ??= build;
    if (restarted) this.#figures = undefined;
    const state = { ...this.live.state, ...sections } as PageState;
    this.live = {
      ...this.live,
      state,
      rates: this.#ratesOf(state.figures),
      restarted: restarted ? Date.now() : this.live.restarted,
      outdated: this.#build !== build,
    };
  }

  #ratesOf(figures: FiguresSection): ReadonlyMap<string, Rates> {
    const before = this.#figures;
    this.#figures = figures;
    if (before === undefined || figures.at <= before.at) return this.live.rates;
    const seconds = (figures.at - before.at) / 1_000;
    const rates = new Map<string, Rates>();
    const add = (name: string, sent: number, received: number) => {
      const { sent: s = [], received: r = [] } = this.live.rates.get(name) ?? {};
      // A counter that was set back belongs to a new connection.
      const push = (all: readonly number[], value: number) => [...all, Math.max(0, value / seconds)].slice(-HISTORY);
      rates.set(name, { sent: push(s, sent), received: push(r, received) });
    };
    for (const [name, [, , sent, received]] of Object.entries(figures.links)) {
      const old = before.links[name];
      if (old !== undefined) add(name, sent - old[2], received - old[3]);
    }
    if (figures.totals !== null && before.totals !== null)
      add("", figures.totals.sent - before.totals.sent, figures.totals.received - before.totals.received);
    return rates;
  }
}
