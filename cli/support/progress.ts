/** Time after which work is shown: a quick command stays silent. */
const SHOWN_AFTER_MS = 400;
/** Interval at which the seconds are shown again. */
const REDRAW_MS = 1_000;
/** Moves to the start of the line, and erases it (ECMA-48: CR, EL). */
const ERASE = "\r\u001B[K";
/** Width of a terminal that does not give it. */
const COLUMNS = 80;

/** A terminal, and the streams that may share it. */
export interface ProgressTerminal {
  readonly stream: NodeJS.WriteStream;
  readonly sharedWith: readonly NodeJS.WriteStream[];
}

/**
 * One line at the bottom of a terminal: what is done now, and for how many seconds. It is rewritten in place, makes way for all that is printed
 * meanwhile, and is gone at the end.
 */
export class ProgressLine {
  readonly #terminal: ProgressTerminal;
  readonly #originals = new Map<NodeJS.WriteStream, NodeJS.WriteStream["write"]>();
  readonly #steps: { readonly what: string; readonly began: number }[] = [];
  #timer: NodeJS.Timeout | undefined;
  #isDrawn = false;

  constructor(terminal: ProgressTerminal) {
    this.#terminal = terminal;
  }

  /** Shows `what` while `work` runs. Work within it is shown in its place. */
  async during<T>(what: string, work: () => Promise<T>): Promise<T> {
    this.#steps.push({ what, began: Date.now() });
    if (this.#steps.length === 1) this.#begin();
    else if (this.#isDrawn) this.#draw();
    try {
      return await work();
    } finally {
      this.#steps.pop();
      if (this.#steps.length === 0) this.#end();
      else if (this.#isDrawn) this.#draw();
    }
  }

  #begin(): void {
    const { stream, sharedWith } = this.#terminal;
    for (const each of [stream, ...sharedWith]) {
      const write = each.write;
      this.#originals.set(each, write);
      each.write = (...args: unknown[]) => {
        this.#erase();
        return (write as (...args: unknown[]) => boolean).apply(each, args);
      };
    }
    const turn = () => {
      this.#draw();
      this.#timer = setTimeout(turn, REDRAW_MS).unref();
    };
    this.#timer = setTimeout(turn, SHOWN_AFTER_MS).unref();
  }

  #end(): void {
    clearTimeout(this.#timer);
    this.#erase();
    for (const [stream, write] of this.#originals) stream.write = write;
    this.#originals.clear();
  }

  #draw(): void {
    const { what, began } = this.#steps.at(-1)!;
    const text = `${what} … ${Math.floor((Date.now() - began) / 1_000)} s`;
    // A longer line would go on in the next one, which is not erased.
    this.#raw(`${ERASE}${text.slice(0, (this.#terminal.stream.columns || COLUMNS) - 1)}`);
    this.#isDrawn = true;
  }

  #erase(): void {
    if (this.#isDrawn) this.#raw(ERASE);
    this.#isDrawn = false;
  }

  #raw(text: string): void {
    const { stream } = this.#terminal;
    (this.#originals.get(stream) ?? stream.write).call(stream, text);
  }
}

/** Whether progress is shown: on a terminal that can erase, to a person. @param args of the command */
export function showsProgress(
  stream: { readonly isTTY?: boolean },
  env: NodeJS.ProcessEnv,
  args: readonly string[],
): boolean {
  const isPlain = (env.NO_COLOR ?? "") !== "" || env.TERM === "dumb";
  return stream.isTTY === true && !isPlain && !args.some((word) => /^--?json(=true)?$/.test(word));
}

let line: ProgressLine | undefined;

/**
 * Shows what a command does while `work` runs: by one line on a terminal, by nothing elsewhere.
 *
 * @param what in a few words: `waiting for the router`
 */
export function progress<T>(what: string, work: () => Promise<T>): Promise<T> {
  const { stdout, stderr, env, argv } = process;
  if (!showsProgress(stderr, env, argv.slice(2))) return work();
  // Standard output may be the same terminal.
  line ??= new ProgressLine({ stream: stderr, sharedWith: stdout.isTTY ? [stdout] : [] });
  return line.during(what, work);
}
