import { Packr } from "msgpackr";
import type { ZodMiniType } from "zod/mini";
import { WeaveError } from "#src/errors.js";
import { hasMoreItems } from "#src/message-items.js";

/**
 * Maximum number of values in a message, unless the caller has another limit: as many as a message of 64 KB can have. A longer one with small
 * values only would take eight times its size or more.
 */
const MAX_ITEMS = 65_536;
/** A message whose buffer is not kept. */
const LONG_BYTES = 256 << 10;
/** The library's own size of a first buffer. */
const FIRST_BYTES = 8_192;
/** null in MessagePack. */
const NIL = Uint8Array.of(0xc0);

/** Plain MessagePack without msgpackr's shared record structures: each message is decoded independently of the others. */
const packr = new Packr({ useRecords: false, variableMapSize: true });

/** Encodes plain data (null, booleans, numbers, strings, byte arrays, arrays, objects) as MessagePack. */
export function encode(value: unknown): Uint8Array {
  const bytes = packr.pack(value);
  // The library keeps the buffer that it encodes in, twice as large as the longest message.
  if (bytes.length > LONG_BYTES) packr.useBuffer(Buffer.allocUnsafeSlow(FIRST_BYTES));
  return bytes;
}

/**
 * Decodes and validates a message of an untrusted sender.
 *
 * @param what names the message in an error: `an IPAM message`
 * @param mostItems maximum number of values in it, keys too; more are not decoded
 * @throws WEAVE_MESSAGE_MALFORMED when the bytes are not MessagePack, or do not have the shape
 */
export function decode<T>(shape: ZodMiniType<T>, bytes: Uint8Array, what: string, mostItems = MAX_ITEMS): T {
  if (hasMoreItems(bytes, mostItems))
    throw new WeaveError("WEAVE_MESSAGE_MALFORMED", `${what} has more than ${mostItems} values`);
  let raw: unknown;
  try {
    raw = packr.unpack(bytes);
  } catch (cause) {
    throw new WeaveError("WEAVE_MESSAGE_MALFORMED", `${what} is not MessagePack`, { cause });
  } finally {
    // The library keeps what it has decoded last.
    if (bytes.length > LONG_BYTES) packr.unpack(NIL);
  }
  const parsed = shape.safeParse(raw);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const where = issue?.path.length ? ` at ${issue.path.join(".")}` : "";
  throw new WeaveError("WEAVE_MESSAGE_MALFORMED", `${what} is malformed${where}: ${issue?.code ?? "unknown"}`);
}
