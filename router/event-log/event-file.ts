import {
  appendFileSync,
  closeSync,
  constants,
  fstatSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import type { ZodMiniType } from "zod/mini";
import * as z from "zod/mini";
import { countShape, peerNameShape } from "#mesh/peer.js";
import { checkedDraft, eventId, eventKind, eventNumber, type NetworkEvent } from "#router/event-log/event.js";
import { SEVERITIES } from "#router/event-log/event-kinds.js";
import type { Clock } from "#src/clock.js";
import { errorText, systemCode } from "#src/errors.js";

/** The file is written again, with the events that are still kept, when it has twice the bytes that they had last, but at least these. */
const REWRITE_BYTES = 1 << 20;
/** Bytes that are read of a file, from its end: more than twice those of as many events as are kept, with the longest texts. */
const MAX_READ_BYTES = 8 << 20;
/** Pause after a failure, in which events are in memory alone: to write the whole file for each of them could take the router's time. */
const PAUSE_MS = 10_000;
/** Mode of the file: names and addresses of peers are readable by its owner alone. */
const MODE = 0o600;

const lineShape = z.object({
  peer: peerNameShape,
  number: countShape,
  time: countShape,
  kind: z.string(),
  severity: z.enum(SEVERITIES),
  subject: z.string(),
  text: z.string(),
}) as ZodMiniType<Omit<NetworkEvent, "id" | "kind"> & { readonly number: number; readonly kind: string }>;

/**
 * The file of the events: a line of JSON for each, in the order in which this host came to know of them. An event is in the file when
 * {@link append} returns, and survives the end of the process; after a power cut the last ones may be lost. No method throws: the router works
 * without the file.
 */
export class EventFile {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #onProblem: (problem: string | undefined) => void;
  #pausedUntil = Number.NEGATIVE_INFINITY;
  #bytes = 0;
  #rewriteAt = REWRITE_BYTES;
  /** Whether the file may lack events, have damaged lines, or end within one. */
  #isTorn = true;

  /** @param onProblem called with the reason when an event could not be written, and with undefined when one was written */
  constructor(path: string, clock: Clock, onProblem: (problem: string | undefined) => void = () => {}) {
    this.#path = path;
    this.#clock = clock;
    this.#onProblem = onProblem;
  }

  /** Reads the events. Damaged lines are left out. */
  load(): NetworkEvent[] {
    try {
      return readEventFile(this.#path);
    } catch (error) {
      if (systemCode(error) !== "ENOENT") this.#onProblem(this.#problem(error));
      return [];
    }
  }

  /** Adds an event. @param kept returns all events that are kept, this one among them: a large or damaged file is written again with them */
  append(event: NetworkEvent, kept: () => readonly NetworkEvent[]): void {
    if (this.#clock.now() < this.#pausedUntil) return;
    const line = lineOf(event);
    try {
      const bytes = Buffer.byteLength(line);
      if (this.#isTorn || this.#bytes + bytes > this.#rewriteAt) this.#rewrite(kept());
      else {
        this.#isTorn = true;
        appendFileSync(this.#path, line, { mode: MODE });
        this.#isTorn = false;
        this.#bytes += bytes;
      }
      this.#onProblem(undefined);
    } catch (error) {
      this.#failed(error);
    }
  }

  #rewrite(events: readonly NetworkEvent[]): void {
    const text = events.map(lineOf).join("");
    const made = `${this.#path}.new`;
    // It may be any kind of file, made by another program.
    rmSync(made, { recursive: true, force: true });
    writeFileSync(made, text, { mode: MODE, flag: "wx" });
    renameSync(made, this.#path);
    this.#bytes = Buffer.byteLength(text);
    this.#rewriteAt = Math.max(REWRITE_BYTES, 2 * this.#bytes);
    this.#isTorn = false;
  }

  #failed(error: unknown): void {
    this.#pausedUntil = this.#clock.now() + PAUSE_MS;
    this.#onProblem(this.#problem(error));
  }

  #problem(error: unknown): string {
    return `events cannot be kept in ${this.#path}: ${errorText(error)}`;
  }
}

/** Reads the events of a file, also of a router that runs or has ended. @throws a system error */
export const readEventFile = (path: string): NetworkEvent[] => eventsIn(readEnd(path, MAX_READ_BYTES));

const lineOf = (event: NetworkEvent): string => {
  const { peer, time, kind, severity, subject, text } = event;
  return `${JSON.stringify({ peer, number: eventNumber(event), time, kind, severity, subject, text })}\n`;
};

function eventsIn(text: string): NetworkEvent[] {
  return text.split("\n").flatMap((line) => {
    const event = line === "" ? undefined : eventIn(line);
    return event === undefined ? [] : [event];
  });
}

function eventIn(line: string): NetworkEvent | undefined {
  try {
    const { peer, number, time, kind, ...others } = lineShape.parse(JSON.parse(line));
    return { id: eventId(peer, number), time, peer, ...checkedDraft({ ...others, kind: eventKind(kind) }) };
  } catch {
    return undefined;
  }
}

/** The end of a file, in text. @throws a system error; Error for what is no file */
function readEnd(path: string, max: number): string {
  // A named pipe would wait for a writer.
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw new Error("it is no file");
    const buffer = Buffer.alloc(Math.min(stat.size, max));
    const length = readSync(fd, buffer, 0, buffer.length, stat.size - buffer.length);
    return buffer.toString("utf8", 0, length);
  } finally {
    closeSync(fd);
  }
}
