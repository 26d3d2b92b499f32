import { aligned, HEADER_BYTES } from "#src/linux/netlink/message-writer.js";
import { type MacText, macText } from "#src/mac.js";

/** A netlink message that the kernel sent. */
export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly body: Uint8Array;
}

const ATTRIBUTE_HEADER_BYTES = 4;
/** Without the bits that state nesting and byte order. */
const TYPE_MASK = 0x3fff;
/** More attributes than any kernel's message has. */
const MAX_ATTRIBUTES = 4_096;

const viewOfBytes = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Reads the messages of one datagram. What is cut or impossible ends the list: nothing outside of `bytes` is read. */
export function readMessages(bytes: Uint8Array): NetlinkMessage[] {
  const view = viewOfBytes(bytes);
  const messages: NetlinkMessage[] = [];
  for (let at = 0; at + HEADER_BYTES <= bytes.length; ) {
    const length = view.getUint32(at, true);
    if (length < HEADER_BYTES || length > bytes.length - at) break;
    messages.push({
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      sequence: view.getUint32(at + 8, true),
      body: bytes.subarray(at + HEADER_BYTES, at + length),
    });
    at += aligned(length);
  }
  return messages;
}

/** Attributes of a message or of another attribute, in order. */
export type AttributeList = readonly (readonly [type: number, value: Uint8Array])[];

/** Reads the attributes from offset `start` on. What is cut or impossible ends the list. */
export function readAttributes(bytes: Uint8Array, start = 0): AttributeList {
  const view = viewOfBytes(bytes);
  const list: [number, Uint8Array][] = [];
  for (let at = start; at + ATTRIBUTE_HEADER_BYTES <= bytes.length && list.length < MAX_ATTRIBUTES; ) {
    const length = view.getUint16(at, true);
    if (length < ATTRIBUTE_HEADER_BYTES || length > bytes.length - at) break;
    list.push([view.getUint16(at + 2, true) & TYPE_MASK, bytes.subarray(at + ATTRIBUTE_HEADER_BYTES, at + length)]);
    at += aligned(length);
  }
  return list;
}

/** The attributes of a structure, by type: of equal types the last one counts, as in the kernel. */
export class AttributeMap {
  readonly #values: ReadonlyMap<number, Uint8Array>;

  constructor(bytes: Uint8Array | undefined, start = 0) {
    this.#values = new Map(bytes === undefined ? [] : readAttributes(bytes, start));
  }

  /** The value of an attribute; undefined where there is none, or one shorter than `bytes`. */
  bytes(type: number, bytes = 0): Uint8Array | undefined {
    const value = this.#values.get(type);
    return value === undefined || value.length < bytes ? undefined : value;
  }

  u8(type: number): number | undefined {
    return this.bytes(type, 1)?.[0];
  }

  u16(type: number): number | undefined {
    const value = this.bytes(type, 2);
    return value && viewOfBytes(value).getUint16(0, true);
  }

  be16(type: number): number | undefined {
    const value = this.bytes(type, 2);
    return value && viewOfBytes(value).getUint16(0, false);
  }

  u32(type: number): number | undefined {
    const value = this.bytes(type, 4);
    return value && viewOfBytes(value).getUint32(0, true);
  }

  i32(type: number): number | undefined {
    const value = this.u32(type);
    return value === undefined ? undefined : value | 0;
  }

  /** A number of 64 bits; exact below 2^53. */
  u64(type: number): number | undefined {
    const value = this.bytes(type, 8);
    return value && Number(viewOfBytes(value).getBigUint64(0, true));
  }

  /** An IPv4 address; undefined for one of another length. */
  ipv4(type: number): string | undefined {
    const value = this.bytes(type);
    return value?.length === 4 ? value.join(".") : undefined;
  }

  /** A MAC; undefined for an address of another length. */
  mac(type: number): MacText | undefined {
    const value = this.bytes(type);
    return value?.length === 6 ? macText(value) : undefined;
  }

  /** Text up to its first zero. */
  text(type: number): string | undefined {
    const value = this.bytes(type);
    if (value === undefined) return undefined;
    const end = value.indexOf(0);
    return Buffer.from(value.subarray(0, end < 0 ? value.length : end)).toString("utf8");
  }

  /** The attributes inside of an attribute; none where it is absent. */
  nested(type: number): AttributeMap {
    return new AttributeMap(this.bytes(type));
  }
}
