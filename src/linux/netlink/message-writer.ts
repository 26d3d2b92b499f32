import { WeaveError } from "#src/errors.js";
import { type MacText, macNumber } from "#src/mac.js";

/** Size of struct nlmsghdr (linux/netlink.h): length, type, flags, sequence number, port id. */
export const HEADER_BYTES = 16;
const ATTRIBUTE_HEADER_BYTES = 4;
/** The bit of an attribute's type that states that it contains attributes. */
const NLA_F_NESTED = 0x8000;
/** Messages and attributes begin at multiples of four bytes. */
export const aligned = (bytes: number): number => (bytes + 3) & ~3;

/** Longest attribute: its length has 16 bits. */
const MAX_ATTRIBUTE_BYTES = 0xffff;
const INITIAL_BYTES = 256;

/** Writes the body of a netlink message: a fixed structure, then attributes. All numbers are little-endian, as the machine's. */
export class MessageWriter {
  #bytes = new Uint8Array(INITIAL_BYTES);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  /** Appends numbers of a fixed structure: 1, 2 or 4 bytes each. */
  struct(...fields: readonly (readonly [bytes: 1 | 2 | 4, value: number])[]): this {
    for (const [bytes, value] of fields) {
      const at = this.#grow(bytes);
      if (bytes === 1) this.#view.setUint8(at, value);
      else if (bytes === 2) this.#view.setUint16(at, value, true);
      else this.#view.setUint32(at, value, true);
    }
    return this;
  }

  /** Appends an attribute with any value. */
  bytes(type: number, value: Uint8Array): this {
    const at = this.#attribute(type, value.length);
    this.#bytes.set(value, at);
    return this;
  }

  u8(type: number, value: number): this {
    return this.bytes(type, Uint8Array.of(value));
  }

  u16(type: number, value: number): this {
    return this.bytes(type, Uint8Array.of(value & 255, value >> 8));
  }

  /** A number of 16 bits in network byte order, such as a port. */
  be16(type: number, value: number): this {
    return this.bytes(type, Uint8Array.of(value >> 8, value & 255));
  }

  u32(type: number, value: number): this {
    return this.bytes(type, new Uint8Array(Uint32Array.of(value).buffer));
  }

  /** An IPv4 address. */
  ipv4(type: number, address: string): this {
    return this.bytes(type, Uint8Array.from(address.split("."), Number));
  }

  mac(type: number, mac: MacText): this {
    const octets = Buffer.alloc(6);
    octets.writeUIntBE(macNumber(mac), 0, 6);
    return this.bytes(type, octets);
  }

  /** Text with a zero at its end. */
  text(type: number, value: string): this {
    return this.bytes(type, Buffer.from(`${value}\0`));
  }

  /** An attribute that contains those which `write` appends. */
  nested(type: number, write: (writer: this) => void): this {
    const start = this.#attribute(type | NLA_F_NESTED, 0) - ATTRIBUTE_HEADER_BYTES;
    write(this);
    const length = this.#length - start;
    if (length > MAX_ATTRIBUTE_BYTES) throw new WeaveError("WEAVE_BOUNDS", "a netlink attribute is too long");
    this.#view.setUint16(start, length, true);
    return this;
  }

  /** The body. Its memory stays the writer's: see {@link clear}. */
  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Overwrites the body, which may have keys in it. */
  clear(): void {
    this.#bytes.fill(0);
    this.#length = 0;
  }

  /** @returns where the value begins */
  #attribute(type: number, length: number): number {
    if (length + ATTRIBUTE_HEADER_BYTES > MAX_ATTRIBUTE_BYTES)
      throw new WeaveError("WEAVE_BOUNDS", "a netlink attribute is too long");
    const at = this.#grow(aligned(ATTRIBUTE_HEADER_BYTES + length));
    this.#view.setUint16(at, ATTRIBUTE_HEADER_BYTES + length, true);
    this.#view.setUint16(at + 2, type, true);
    return at + ATTRIBUTE_HEADER_BYTES;
  }

  #grow(bytes: number): number {
    const at = this.#length;
    this.#length += bytes;
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(2 * this.#length);
      larger.set(this.#bytes);
      this.#bytes.fill(0);
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return at;
  }
}
