import { closeSync, existsSync, openSync, readSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { errorText, WeaveError } from "#src/errors.js";
import { fileRemedy, freeBytes } from "#src/file-error.js";

/** Fields of LMDB's two meta pages at the start of the file: MDB_page and MDB_meta in mdb.c. */
const MAGIC = 0xbeefc0de;
const MAGIC_AT = 24;
const PAGE_SIZE_AT = 48;
const LAST_PAGE_AT = 144;
const TRANSACTION_AT = 152;
const META_BYTES = 160;
/** Free space that a new database needs: LMDB writes to its files through memory, where a full disk ends the process. */
const NEW_FILE_BYTES = 256 << 10;

interface Meta {
  readonly pageBytes: number;
  readonly lastPage: bigint;
  readonly transaction: bigint;
}

/** The file beside a database by which its processes find one another. */
export const lockFileOf = (path: string): string => `${path}-lock`;

/**
 * Checks a database file before LMDB opens it, because LMDB ends the process for a file that is not a database, or that lacks its end,
 * and for a new one on a full disk. A missing or empty file is a new database.
 *
 * @throws Error with the reason
 */
export function checkLmdbFile(path: string): void {
  const size = existsSync(path) ? statSync(path).size : 0;
  if (size === 0 || !hasLockFile(path)) requireSpace(path);
  if (size === 0) return;
  const fd = openSync(path, "r");
  try {
    const first = readMeta(fd, 0);
    const second = first && readMeta(fd, first.pageBytes);
    if (first === undefined || second === undefined) throw new Error("it is damaged, or not a database of weave");
    const { pageBytes, lastPage } = second.transaction > first.transaction ? second : first;
    const needed = (lastPage + 1n) * BigInt(pageBytes);
    if (needed > size) throw new Error(`it is damaged: it has ${size} bytes of ${needed}`);
  } finally {
    closeSync(fd);
  }
}

function readMeta(fd: number, at: number): Meta | undefined {
  const bytes = Buffer.alloc(META_BYTES);
  if (readSync(fd, bytes, 0, META_BYTES, at) !== META_BYTES || bytes.readUInt32LE(MAGIC_AT) !== MAGIC) return undefined;
  return {
    pageBytes: bytes.readUInt32LE(PAGE_SIZE_AT),
    lastPage: bytes.readBigUInt64LE(LAST_PAGE_AT),
    transaction: bytes.readBigUInt64LE(TRANSACTION_AT),
  };
}

/** Whether the lock file exists, with space on the disk. */
function hasLockFile(path: string): boolean {
  const lock = lockFileOf(path);
  return existsSync(lock) && statSync(lock).blocks > 0;
}

function requireSpace(path: string): void {
  if (freeBytes(dirname(path)) < NEW_FILE_BYTES) throw new Error("there is no space left on the disk");
}

/** Makes the error for a database that cannot be used. @param doing completes "cannot …": `open` */
export function databaseError(path: string, doing: string, cause: unknown): WeaveError {
  if (cause instanceof WeaveError) return cause;
  const full = doing === "write" && freeBytes(dirname(path)) < NEW_FILE_BYTES;
  const why = full ? "there is no space left on the disk" : errorText(cause);
  const damaged = `Check the disk. If the file is damaged, restore a backup ('weave restore FILE'), or move it away (mv ${path} ${path}.bad) and launch again: the peer then starts as a new one.`;
  return new WeaveError("WEAVE_STORE", `cannot ${doing} the database ${path}: ${why}`, {
    cause,
    next: fileRemedy(why, dirname(path)) ?? damaged,
  });
}
