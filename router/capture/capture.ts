import { Readable } from "node:stream";
import type { CaptureDevice, CapturePlan } from "#router/capture/capture-plan.js";
import { completeFrame } from "#router/capture/complete-frame.js";
import { interfaceIndex } from "#src/linux/links/interface-index.js";
import type { ClassicFilter } from "#src/linux/native/packet-filter.js";
import { PacketRing, type RingFrame } from "#src/linux/native/packet-ring.js";
import { interfaceBlock, packetBlock, type SectionFields, sectionBlock, statisticsBlock } from "#src/pcapng/write.js";

/** Interval at which the rings are read: frames are shown without a delay that people notice. */
const TURN_MS = 20;
/** Longest work of one turn, so a quarter of the event loop at most, and the bytes that it gives to the reader. What does not fit is dropped. */
const TURN_WORK_MS = 5;
const TURN_BYTES = 1 << 20;
/** Bytes that wait for the reader; the rings of the kernel hold more, and drop what they have no room for. */
const BUFFER_BYTES = 1 << 20;
/** Interval at which the interfaces are looked for: some come and go. */
const LOOK_MS = 1_000;
/** Frames that have passed before an end are in the rings after this time: the kernel hands over what is not full, too. */
const HANDOVER_MS = 50;
/** How long the rings are read after an end: a slow reader gets no more than that. */
const LAST_FRAMES_MS = 1_000;
/** How long a reader may take for the rest after the end. */
const REST_MS = 5_000;

export interface CaptureLimits {
  readonly frames: number;
  readonly seconds: number;
  /** Of the file. */
  readonly bytes: number;
  /** Bytes that are kept of a frame. */
  readonly snapLength: number;
}

export interface CaptureOptions {
  readonly plan: CapturePlan;
  readonly limits: CaptureLimits;
  /** As typed, for the file. */
  readonly filter: string;
  /** The same as a program, which cuts frames at the snap length. */
  readonly program: ClassicFilter;
  readonly section: SectionFields;
}

interface Source {
  readonly device: CaptureDevice;
  readonly ifindex: number;
  readonly ring: PacketRing;
  /** Its number in the file. */
  readonly id: number;
  /** What the file knows of its numbers. */
  dropped: number;
}

/** The block of a frame, with its time since the epoch. */
interface TimedBlock {
  readonly ms: number;
  readonly block: Buffer;
}

/** What a capture has done so far. */
export interface CaptureCounts {
  readonly frames: number;
  readonly dropped: number;
}

/**
 * Frames of interfaces of this host as a stream of pcapng. It reads at the pace of its reader: while that is slow, the rings in the kernel
 * fill, drop and count. It ends at the first of its limits, and when its reader is gone.
 *
 * Each time that frames were dropped, and at the end, the stream has the numbers of each interface; the last ones have the reason of the end
 * as comment.
 */
export class FrameCapture extends Readable {
  readonly #options: CaptureOptions;
  readonly #sources = new Set<Source>();
  readonly #turns: NodeJS.Timeout;
  readonly #looks: NodeJS.Timeout;
  readonly #deadline: NodeJS.Timeout;
  #rest: NodeJS.Timeout | undefined;
  #wanted = true;
  /** The end that is to come: frames that pass later are left out. */
  #stop: { readonly reason: string; readonly at: number; readonly limit: NodeJS.Timeout } | undefined;
  /** Why it has ended. */
  #end: string | undefined;
  #ids = 0;
  #frames = 0;
  #bytes = 0;
  /** Frames that interfaces have dropped which are gone. */
  #lost = 0;
  /** The last one that is gone: at the end the stream has the numbers of one interface at least. */
  #gone: Source | undefined;

  /** @throws WEAVE_NATIVE */
  constructor(options: CaptureOptions) {
    super({ highWaterMark: BUFFER_BYTES });
    this.#options = options;
    this.#turns = setInterval(() => this.#safely(() => this.#turn()), TURN_MS);
    this.#looks = setInterval(() => this.#safely(() => this.#look()), LOOK_MS);
    this.#deadline = setTimeout(() => this.stop("its time is over"), options.limits.seconds * 1_000);
    try {
      const blocks = [sectionBlock(options.section), ...this.#open()];
      this.#give(Buffer.concat(blocks));
    } catch (error) {
      this.#release();
      throw error;
    }
  }

  get counts(): CaptureCounts {
    let dropped = this.#lost;
    for (const { ring } of this.#sources) dropped += ring.counts.dropped;
    return { frames: this.#frames, dropped };
  }

  /** Why it has ended, in words; undefined while it goes on, and when its reader has left. */
  get reason(): string | undefined {
    return this.#end;
  }

  /** Ends it after the frames that have passed until now. */
  stop(reason: string): void {
    if (this.#stop !== undefined || this.#end !== undefined) return;
    const limit = setTimeout(() => this.#finish(reason), LAST_FRAMES_MS);
    this.#stop = { reason, at: Date.now(), limit };
  }

  override _read(): void {
    this.#wanted = true;
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#release();
    done(error);
  }

  /** An error ends the capture, and not the router. */
  #safely(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.destroy(error as Error);
    }
  }

  /** Opens the interfaces that are new. @returns their blocks @throws WEAVE_NATIVE */
  #open(): Buffer[] {
    const { plan, program, limits, filter, section } = this.#options;
    const known = new Set([...this.#sources].map(({ device }) => device.name));
    return plan
      .devices()
      .filter(({ name }) => !known.has(name))
      .map((device) => {
        const ifindex = interfaceIndex(device.name);
        const ring = new PacketRing(ifindex, { filter: program, promiscuous: device.promiscuous });
        this.#sources.add({ device, ifindex, ring, id: this.#ids++, dropped: 0 });
        const { name, description } = device;
        return interfaceBlock({ name, description, filter, snapLength: limits.snapLength, os: section.os });
      });
  }

  #look(): void {
    if (this.#end !== undefined) return;
    for (const source of [...this.#sources]) {
      if (interfaceIndex(source.device.name) === source.ifindex) continue;
      this.#closeSource(source);
      this.#give(numbersOf(source));
    }
    try {
      const blocks = this.#open();
      if (blocks.length > 0) this.#give(Buffer.concat(blocks));
    } catch {
      // The interface was gone again; the next look finds what there is.
    }
    if (this.#sources.size === 0) this.#finish("the interface is gone");
  }

  #turn(): void {
    if (!this.#wanted || this.#end !== undefined) return;
    const { stop, found, done } = this.#readAll();
    // Several interfaces are read one after another.
    if (this.#sources.size > 1) found.sort((a, b) => a.ms - b.ms);
    const reason = this.#keep(found);
    if (reason !== undefined) return this.#finish(reason);
    this.#giveAll([...found.map(({ block }) => block), ...this.#newNumbers()]);
    if (stop !== undefined && done) this.#finish(stop.reason);
  }

  /** Reads the rings as far as a turn goes. @returns with `done` whether there is no frame left before the stop that is to come */
  #readAll() {
    const stop = this.#stop;
    const until = stop === undefined ? Number.POSITIVE_INFINITY : stop.at;
    const isComplete = stop !== undefined && Date.now() - stop.at >= HANDOVER_MS;
    const end = performance.now() + TURN_WORK_MS;
    let room = TURN_BYTES;
    let isShort = false;
    const found: TimedBlock[] = [];
    for (const source of this.#sources)
      source.ring.read((frame) => {
        const ms = frame.seconds * 1_000 + frame.nanoseconds / 1_000_000;
        if (ms > until) return false;
        room -= frame.bytes.length;
        const block = this.#blockOf(source, frame);
        if (block !== undefined) found.push({ ms, block });
        isShort = room <= 0 || performance.now() > end;
        return !isShort;
      });
    return { stop, found, done: isComplete && !isShort };
  }

  #blockOf({ device, id }: Source, frame: RingFrame): Buffer | undefined {
    const comment = device.look(frame);
    if (comment === undefined) return undefined;
    const { seconds, nanoseconds } = frame;
    const { bytes, length } = completeFrame(frame);
    const direction = frame.outgoing ? device.sent : device.sent === "out" ? "in" : "out";
    return packetBlock({ interface: id, seconds, nanoseconds, bytes, length, direction, comment });
  }

  /** Counts frames up to the limits, and gives those to the reader after which there are no more. @returns the limit that is reached */
  #keep(found: TimedBlock[]): string | undefined {
    const { frames, bytes } = this.#options.limits;
    let size = this.#bytes;
    for (const [index, { block }] of found.entries()) {
      const isLast = this.#frames + 1 >= frames;
      const fits = size + block.length <= bytes;
      if (fits) this.#frames++;
      size += block.length;
      if (fits && !isLast) continue;
      this.#giveAll(found.slice(0, fits ? index + 1 : index).map((each) => each.block));
      return fits ? "the number of frames is reached" : "the size is reached";
    }
    return undefined;
  }

  /** The numbers of each interface of which frames were dropped since the last ones. */
  #newNumbers(): Buffer[] {
    return [...this.#sources]
      .filter(({ ring, dropped }) => ring.counts.dropped !== dropped)
      .map((source) => numbersOf(source));
  }

  /** The numbers of all interfaces, with the reason of the end. */
  #lastNumbers(reason: string): Buffer[] {
    const sources = this.#sources.size === 0 && this.#gone !== undefined ? [this.#gone] : [...this.#sources];
    return sources.map((source) => numbersOf(source, reason));
  }

  #giveAll(blocks: readonly Buffer[]): void {
    if (blocks.length > 0) this.#give(Buffer.concat(blocks));
  }

  #give(bytes: Buffer): void {
    this.#bytes += bytes.length;
    this.#wanted = this.push(bytes);
  }

  #finish(reason: string): void {
    if (this.#end !== undefined) return;
    this.#end = reason;
    this.#giveAll(this.#lastNumbers(reason));
    this.push(null);
    this.#release();
    this.#rest = setTimeout(() => this.destroy(new Error("the reader does not read the rest")), REST_MS);
    this.once("close", () => clearTimeout(this.#rest));
  }

  #closeSource(source: Source): void {
    this.#sources.delete(source);
    this.#gone = source;
    source.ring.close();
    this.#lost += source.ring.counts.dropped;
  }

  #release(): void {
    clearInterval(this.#turns);
    clearInterval(this.#looks);
    clearTimeout(this.#deadline);
    clearTimeout(this.#stop?.limit);
    clearTimeout(this.#rest);
    for (const source of [...this.#sources]) this.#closeSource(source);
  }
}

/** The numbers of an interface so far. @param comment "": none */
function numbersOf(source: Source, comment = ""): Buffer {
  const now = Date.now();
  const { received, dropped } = source.ring.counts;
  source.dropped = dropped;
  return statisticsBlock({
    interface: source.id,
    seconds: Math.floor(now / 1_000),
    nanoseconds: (now % 1_000) * 1_000_000,
    received,
    dropped,
    comment,
  });
}
