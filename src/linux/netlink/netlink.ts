import { WeaveError } from "#src/errors.js";
import { errnoName } from "#src/linux/native/libc.js";
import { inNamespace, type NamespaceRef } from "#src/linux/native/namespace-entry.js";
import { type NetlinkProtocol, NetlinkSocket } from "#src/linux/native/netlink-socket.js";
import { AttributeMap, type NetlinkMessage, readMessages } from "#src/linux/netlink/message-reader.js";
import { aligned, HEADER_BYTES } from "#src/linux/netlink/message-writer.js";
import { SerialQueue } from "#src/serial-queue.js";

// linux/netlink.h
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const REQUEST = 1;
const ACKNOWLEDGE = 4;
const DUMP = 0x300;
/** Flag of a dump that changed while the kernel made it. */
const DUMP_INTERRUPTED = 0x10;
/** Flag of an answer whose text and other attributes follow (NLM_F_ACK_TLVS). */
const WITH_ATTRIBUTES = 0x200;
const ERROR_TEXT = 1;
/** Size of struct nlmsgerr with the header of the request. */
const ERROR_BYTES = 4 + HEADER_BYTES;

/** Flags of requests that make something. */
export const CREATE = 0x400;
export const EXCLUSIVE = 0x200;
export const REPLACE = 0x100;

/** Messages of one send: more save little, and their acknowledgements must fit the receive buffer. */
const BATCH = 400;
/** Messages of one dump; the rest is left out. A host with more neighbours, or links, has no use for this. */
const MAX_DUMPED = 200_000;
/** Attempts of a dump that changes while the kernel makes it. */
const DUMP_ATTEMPTS = 5;

/** A message to the kernel. */
export interface NetlinkRequest {
  /** RTM_…, or the id of a family of generic netlink. */
  readonly type: number;
  /** {@link CREATE}, {@link EXCLUSIVE}, {@link REPLACE}. */
  readonly flags?: number;
  readonly body: Uint8Array;
}

/** Why the kernel rejected a message. */
export class NetlinkError extends WeaveError {
  readonly errno: number;

  /** @param what "make the device x" */
  constructor(what: string, errno: number, text: string) {
    super("WEAVE_NATIVE", `cannot ${what}: ${text}`);
    this.errno = errno;
  }
}

/** A message of a batch that the kernel rejected. */
export interface Rejection {
  /** Position in the batch. */
  readonly index: number;
  readonly errno: number;
  /** The kernel's own text, or the name of the error. */
  readonly text: string;
}

/** A client of the kernel's network configuration: requests one after another, each on a thread of its own. */
export class Netlink {
  /** The network namespace, if it is not the process's own: path or descriptor. */
  readonly namespace: NamespaceRef;
  readonly #socket: NetlinkSocket;
  #sequence = 0;
  readonly #queue = new SerialQueue();

  private constructor(socket: NetlinkSocket, namespace: NamespaceRef) {
    this.#socket = socket;
    this.namespace = namespace;
  }

  /**
   * @param namespace path or descriptor of the network namespace to configure; by default the process's own
   * @throws WEAVE_NATIVE, WEAVE_NAMESPACE
   */
  static open(protocol: NetlinkProtocol, namespace?: NamespaceRef): Netlink {
    const socket = inNamespace(namespace, () => new NetlinkSocket(protocol));
    return new Netlink(socket, namespace);
  }

  /** Sends one message. @param what "make the device x", for the error. @returns the answer, if there is one. @throws NetlinkError */
  async request(what: string, request: NetlinkRequest): Promise<Uint8Array | undefined> {
    return this.#queue.run(async () => {
      const first = await this.#send([request]);
      let answer: Uint8Array | undefined;
      for (;;) {
        for (const message of await this.#read(what)) {
          if (message.sequence !== first) continue;
          if (message.type !== NLMSG_ERROR) answer = message.body;
          else {
            const { errno, text } = rejection(message);
            if (errno !== 0) throw new NetlinkError(what, errno, text);
            return answer;
          }
        }
      }
    });
  }

  /** Sends many messages. Those that the kernel rejects do not stop the others. @returns the rejected ones. @throws WEAVE_NATIVE */
  async batch(what: string, requests: readonly NetlinkRequest[]): Promise<readonly Rejection[]> {
    const rejected: Rejection[] = [];
    for (let start = 0; start < requests.length; start += BATCH) {
      const part = requests.slice(start, start + BATCH);
      for (const each of await this.#queue.run(() => this.#batch(what, part)))
        rejected.push({ ...each, index: start + each.index });
    }
    return rejected;
  }

  /** Asks for a list. @returns the bodies of its messages. @throws NetlinkError */
  async dump(what: string, request: NetlinkRequest): Promise<readonly Uint8Array[]> {
    return this.#queue.run(async () => {
      for (let attempt = 1; ; attempt++) {
        const { list, whole } = await this.#dumpOnce(what, request);
        if (whole || attempt === DUMP_ATTEMPTS) return list;
      }
    });
  }

  close(): void {
    this.#socket.close();
  }

  async #batch(what: string, part: readonly NetlinkRequest[]): Promise<readonly Rejection[]> {
    const first = await this.#send(part);
    const last = (first + part.length - 1) >>> 0;
    const rejected: Rejection[] = [];
    for (;;) {
      for (const message of await this.#read(what)) {
        const index = (message.sequence - first) >>> 0;
        if (message.type !== NLMSG_ERROR || index >= part.length) continue;
        const { errno, text } = rejection(message);
        if (errno !== 0) rejected.push({ index, errno, text });
        if (message.sequence === last) return rejected;
      }
    }
  }

  async #dumpOnce(what: string, request: NetlinkRequest): Promise<{ list: readonly Uint8Array[]; whole: boolean }> {
    const first = await this.#send([{ ...request, flags: (request.flags ?? 0) | DUMP }]);
    const list: Uint8Array[] = [];
    let whole = true;
    for (;;) {
      for (const message of await this.#read(what)) {
        if (message.sequence !== first) continue;
        if ((message.flags & DUMP_INTERRUPTED) !== 0) whole = false;
        if (message.type === NLMSG_DONE) return { list, whole };
        if (message.type === NLMSG_ERROR) {
          const { errno, text } = rejection(message);
          // The acknowledgement comes before the list.
          if (errno !== 0) throw new NetlinkError(what, errno, text);
        } else if (list.length < MAX_DUMPED) list.push(message.body);
      }
    }
  }

  /** Sends messages, of which the last is acknowledged; errors come for each. @returns the first one's sequence number */
  async #send(requests: readonly NetlinkRequest[]): Promise<number> {
    this.#discard();
    const first = (this.#sequence + 1) >>> 0;
    const total = requests.reduce((sum, { body }) => sum + aligned(HEADER_BYTES + body.length), 0);
    const bytes = new Uint8Array(total);
    const view = new DataView(bytes.buffer);
    let at = 0;
    for (const [index, { type, flags = 0, body }] of requests.entries()) {
      view.setUint32(at, HEADER_BYTES + body.length, true);
      view.setUint16(at + 4, type, true);
      const isDump = (flags & DUMP) === DUMP && (flags & CREATE) === 0;
      const acknowledged = index === requests.length - 1 && !isDump;
      view.setUint16(at + 6, REQUEST | flags | (acknowledged ? ACKNOWLEDGE : 0), true);
      this.#sequence = (first + index) >>> 0;
      view.setUint32(at + 8, this.#sequence, true);
      bytes.set(body, at + HEADER_BYTES);
      at += aligned(HEADER_BYTES + body.length);
    }
    try {
      await this.#socket.send(bytes);
    } finally {
      bytes.fill(0);
    }
    return first;
  }

  /** Drops what a request that failed has left unread. */
  #discard(): void {
    while (this.#socket.receiveNow() !== "empty") {}
  }

  async #read(what: string): Promise<NetlinkMessage[]> {
    const input = await this.#socket.receive();
    if (input instanceof Uint8Array) return readMessages(input);
    // The kernel answers within the call that sends: nothing can come later.
    throw new WeaveError(
      "WEAVE_NATIVE",
      `cannot ${what}: ${input === "empty" ? "the kernel does not answer" : "its answers were lost"}`,
    );
  }
}

/** Reads struct nlmsgerr, and the kernel's text after it. */
function rejection({ flags, body }: NetlinkMessage): { errno: number; text: string } {
  if (body.length < 4) return { errno: 0, text: "" };
  const code = -new DataView(body.buffer, body.byteOffset, 4).getInt32(0, true);
  const text = (flags & WITH_ATTRIBUTES) === 0 ? undefined : new AttributeMap(body, ERROR_BYTES).text(ERROR_TEXT);
  return { errno: code, text: text === undefined || text === "" ? errnoName(code) : `${text} (${errnoName(code)})` };
}
