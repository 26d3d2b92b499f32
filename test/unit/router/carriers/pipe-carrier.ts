import { rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import * as z from "zod/mini";
import type {
  Carrier,
  CarrierDeps,
  CarrierKind,
  CarrierLink,
  CarrierState,
  RecordNextHop,
} from "#router/carriers/carrier.js";
import { NEXT_HOP_EVENT_LOOP } from "#router/datapath/next-hop.js";

const RECORD_BYTES = 16_384;
const RETRY_MS = 100;
const PATIENCE_MS = 2_000;

const pathShape = z.object({ kind: z.literal("pipe-path"), path: z.string().check(z.maxLength(100)) });
interface PathMessage {
  readonly kind: "pipe-path";
  readonly path: string;
}

/** Carries records over Unix sockets in a folder, between routers of one host; the test can cut them. */
export class Pipes implements CarrierKind {
  readonly name = "pipe";
  readonly messages = { "pipe-path": pathShape };
  readonly #folder: string;
  readonly #open: Pipe[] = [];
  #count = 0;
  #cut = false;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Records sent by all of them. */
  get records(): number {
    return this.#open.reduce((sum, { records }) => sum + records, 0);
  }

  get cut(): boolean {
    return this.#cut;
  }

  /** Ends all pipes, and lets none begin until it is false again. */
  set cut(cut: boolean) {
    this.#cut = cut;
    if (cut) for (const pipe of this.#open) pipe.disconnect();
  }

  open(link: CarrierLink, deps: CarrierDeps): Carrier {
    const pipe = new Pipe(this, `${this.#folder}/${this.#count++}`, link, deps);
    this.#open.push(pipe);
    return pipe;
  }
}

/** The dialler of the connection connects to a socket that the other end names. A byte from the other end is the proof. */
class Pipe implements Carrier {
  readonly name = "pipe";
  readonly mtu = 65_535;
  readonly nextHop: RecordNextHop = {
    kind: NEXT_HOP_EVENT_LOOP,
    recordBytes: RECORD_BYTES,
    send: (record, sent) => this.#send(record, sent),
  };
  records = 0;
  state: CarrierState;
  readonly #pipes: Pipes;
  readonly #path: string;
  readonly #link: CarrierLink;
  readonly #deps: CarrierDeps;
  #server: Server | undefined;
  #socket: Socket | undefined;
  #received: Buffer = Buffer.alloc(0);
  #stopped = false;

  constructor(pipes: Pipes, path: string, link: CarrierLink, deps: CarrierDeps) {
    this.#pipes = pipes;
    this.#path = path;
    this.#link = link;
    this.#deps = deps;
    this.state = { condition: "probing", reason: "the pipe is not open yet", since: deps.clock.now() };
  }

  get doubtful(): boolean {
    return this.state.condition !== "usable";
  }

  start(): void {
    this.#deps.clock.after(PATIENCE_MS, () => {
      if (this.state.condition === "probing") this.#change("failed", "the pipe does not open");
    });
    if (this.#link.outbound) return;
    const message: PathMessage = { kind: "pipe-path", path: this.#path };
    this.#server = createServer((socket) => this.#use(socket)).listen(this.#path, () => this.#link.send(message));
  }

  receive({ path }: PathMessage): void {
    if (this.#stopped) return;
    const again = () => this.#deps.clock.after(RETRY_MS, () => this.receive({ kind: "pipe-path", path }));
    if (this.#pipes.cut) return void again();
    const socket = connect(path, () => this.#use(socket));
    socket.on("close", again);
    socket.on("error", () => {});
  }

  onEvent(): void {}
  onLinksChanged(): void {}
  selected(): void {}
  attributes = () => ({});
  diagnostics = () => ({ Records: this.records });

  disconnect(): void {
    this.#socket?.destroy();
  }

  stop(): void {
    this.#stopped = true;
    this.disconnect();
    this.#server?.close();
    rmSync(this.#path, { force: true });
  }

  #use(socket: Socket): void {
    if (this.#pipes.cut) return void socket.destroy();
    this.#socket = socket;
    this.#received = Buffer.alloc(0);
    socket.on("error", () => {});
    socket.on("data", (bytes) => this.#onData(bytes));
    socket.on("close", () => {
      if (this.#socket === socket) this.#change("failed", "the pipe is broken");
    });
    // Empty: the proof.
    socket.write(Buffer.alloc(4));
  }

  #onData(bytes: Buffer): void {
    this.#received = Buffer.concat([this.#received, bytes]);
    for (;;) {
      if (this.#received.length < 4) return;
      const end = 4 + this.#received.readUInt32LE(0);
      if (this.#received.length < end) return;
      const record = Uint8Array.from(this.#received.subarray(4, end));
      this.#received = this.#received.subarray(end);
      if (record.length > 0) this.#deps.datapath.send({ do: "record", session: this.#link.session, record });
      else this.#change("usable", "the pipe is open");
    }
  }

  #send(record: Uint8Array, sent: () => void): void {
    if (this.#socket === undefined || this.#socket.destroyed) return sent();
    this.records++;
    const length = Buffer.alloc(4);
    length.writeUInt32LE(record.length);
    this.#socket.write(Buffer.concat([length, record]), () => sent());
  }

  #change(condition: CarrierState["condition"], reason: string): void {
    this.state = { condition, reason, since: this.#deps.clock.now() };
    if (!this.#stopped) this.#link.changed();
  }
}
