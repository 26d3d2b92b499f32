import { once } from "node:events";
import { CaptureFile } from "#cli/capture/capture-file.js";
import { type FrameText, frameLine, frameText } from "#cli/capture/frame-line.js";
import { documentText } from "#cli/json/document.js";
import { type Block, readPacket } from "#src/pcapng/read.js";

/** Where captured frames go. */
export interface FrameOutput {
  /** Bytes written so far. */
  readonly bytes: number;
  /** Writes whole blocks. It returns when there is room for more. @throws WEAVE_FILE */
  write(blocks: readonly Block[]): void | Promise<void>;
  close(): void;
}

/** Writes pcapng to a new file. @throws WEAVE_FILE */
export const fileOutput = (path: string): FrameOutput => new CaptureFile(path);

/** Writes pcapng to standard output. */
export const pipeOutput = (): FrameOutput =>
  new StandardOutput((blocks) => Buffer.concat(blocks.map(({ bytes }) => bytes)));

/** Prints a line for each frame. */
export const lineOutput = (): FrameOutput =>
  new StandardOutput((blocks) => linesOf(blocks, (text) => `${frameLine(text)}\n`));

/** Prints a document for each frame. */
export const documentOutput = (): FrameOutput => new StandardOutput((blocks) => linesOf(blocks, frameDocument));

class StandardOutput implements FrameOutput {
  readonly #render: (blocks: readonly Block[]) => string | Buffer;
  bytes = 0;

  constructor(render: (blocks: readonly Block[]) => string | Buffer) {
    this.#render = render;
  }

  async write(blocks: readonly Block[]): Promise<void> {
    const output = this.#render(blocks);
    this.bytes += Buffer.byteLength(output);
    if (output.length > 0 && !process.stdout.write(output)) await once(process.stdout, "drain");
  }

  close(): void {}
}

const linesOf = (blocks: readonly Block[], line: (text: FrameText) => string): string =>
  blocks
    .flatMap((block) => readPacket(block) ?? [])
    .map((packet) => line(frameText(packet)))
    .join("");

function frameDocument(text: FrameText): string {
  const time = `${text.time.toISOString().slice(0, 19)}.${String(text.micros).padStart(6, "0")}Z`;
  const fields = {
    Time: time,
    Direction: text.direction,
    From: text.from,
    To: text.to,
    Protocol: text.protocol,
    Source: text.source,
    Target: text.target,
    Length: text.length,
    Notes: text.notes,
  };
  return documentText("capture-frame", fields, true);
}
