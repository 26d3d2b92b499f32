import { createHash } from "node:crypto";
import * as z from "zod/mini";
import { peerNameShape } from "#mesh/peer.js";
import { decode, encode } from "#src/codec.js";
import { errorText, WeaveError } from "#src/errors.js";
import { MAP_BYTES } from "#src/store-lmdb.js";
import { VERSION } from "#src/version.js";

/*
 * A backup is one file:
 *
 *   {"weave":"backup","format":1,"version":"0.1.0","peer":"02:00:00:00:00:01","machine":"9f…","time":"2026-…"}   one line of JSON
 *   MessagePack map {database: [[key, value], …], kept: text, last: text}                                       the body
 *   SHA-256 of all bytes before                                                                                 32 bytes
 */

/** Version of the file's format. A later one is refused. */
const BACKUP_FORMAT = 1;
/** Longest first line. */
const MAX_LINE_BYTES = 1_024;
const SUM_BYTES = 32;
/** Longest backup: the database has at most this size, and is far smaller. */
export const MAX_BACKUP_BYTES = MAP_BYTES;
/** Longest key of LMDB in characters, and longest text of launch options. */
const MAX_KEY = 1_024;
const MAX_TEXT = 256 << 10;

/** The first line of a backup. */
export interface BackupHead {
  readonly version: string;
  readonly peer: string;
  /** Identifies the machine, if that is possible: two machines must not have one identity. */
  readonly machine?: string | undefined;
  /** ISO 8601. */
  readonly time: string;
}

/** The state of a router. */
export interface BackupBody {
  readonly database: readonly [key: string, value: unknown][];
  /** Text of the options kept for starts without a user, password included. */
  readonly kept?: string | undefined;
  /** Text of the options kept for `--resume`. */
  readonly last?: string | undefined;
}

const markShape = z.object({ weave: z.literal("backup"), format: z.number(), version: z.string() });
const headShape = z.object({
  version: z.string().check(z.regex(/^[\w.+-]{1,64}$/)),
  peer: peerNameShape,
  machine: z.optional(z.string().check(z.regex(/^[0-9a-f]{1,64}$/))),
  time: z.string().check(z.regex(/^[\d:.TZ-]{1,32}$/)),
});
const text = z.optional(z.string().check(z.maxLength(MAX_TEXT)));
const bodyShape = z.object({
  database: z.array(z.tuple([z.string().check(z.minLength(1), z.maxLength(MAX_KEY)), z.unknown()])),
  kept: text,
  last: text,
});

export function encodeBackup(head: Omit<BackupHead, "version">, body: BackupBody): Buffer {
  const line = `${JSON.stringify({ weave: "backup", format: BACKUP_FORMAT, version: VERSION, ...head })}\n`;
  const bytes = Buffer.concat([Buffer.from(line), encode(body)]);
  return Buffer.concat([bytes, sumOf(bytes)]);
}

/**
 * Parses and checks a backup of unknown origin.
 *
 * @param name of the file, for errors
 * @throws WEAVE_BACKUP
 */
export function decodeBackup(bytes: Buffer, name: string): { readonly head: BackupHead; readonly body: BackupBody } {
  const end = bytes.subarray(0, MAX_LINE_BYTES).indexOf("\n");
  const first = end < 0 ? undefined : jsonOf(bytes.toString("utf8", 0, end));
  const mark = markShape.safeParse(first);
  if (!mark.success) throw backupError(`${name} is not a backup of weave`, "'weave backup FILE' makes one.");
  const { format, version } = mark.data;
  if (format !== BACKUP_FORMAT)
    throw backupError(
      `${name} is a backup of format ${format}, made by weave ${JSON.stringify(version.slice(0, 64))}; this is weave ${VERSION}, which knows format ${BACKUP_FORMAT}`,
      "Restore it with that version or a later one.",
    );
  const content = bytes.subarray(0, bytes.length - SUM_BYTES);
  if (content.length <= end || !sumOf(content).equals(bytes.subarray(content.length)))
    throw backupError(`${name} is damaged or incomplete: its checksum is wrong`, "Use another copy of the backup.");
  const head = headShape.safeParse(first);
  if (!head.success) throw malformed(name, "its first line does not describe it");
  try {
    return { head: head.data, body: decode(bodyShape, content.subarray(end + 1), "its content") };
  } catch (error) {
    throw malformed(name, errorText(error));
  }
}

/** The error for a backup with an intact checksum and wrong contents. */
export const malformed = (name: string, why: string): WeaveError =>
  backupError(`${name} cannot be used: ${why}`, "Use another backup.");

export const backupError = (message: string, next?: string): WeaveError =>
  new WeaveError("WEAVE_BACKUP", message, next === undefined ? {} : { next });

const sumOf = (bytes: Uint8Array): Buffer => createHash("sha256").update(bytes).digest();

function jsonOf(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
