import { closeSync, existsSync, mkdirSync, openSync, readSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { open } from "lmdb";
import { errorText, WeaveError } from "#src/errors.js";
import type { Store } from "#src/store.js";

/** Version of the database format. A file with another version is rejected. */
const FORMAT = 1;
/** Maximum size of the database file, which LMDB maps; the stored state is far below a megabyte. */
const MAP_BYTES = 64 << 20;

/** Fields of LMDB's two meta pages at the start of the file: the magic number, and the page size (MDB_meta in mdb.c). */
const MAGIC = 0xbeefc0de;
const MAGIC_AT = 24;
const PAGE_SIZE_AT = 48;
const META_BYTES = 64;

/** Whether a file is an LMDB database, or missing, or empty. LMDB crashes when it opens any other file. */
function looksLikeLmdb(path: string): boolean {
  if (!existsSync(path) || statSync(path).size === 0) return true;
  const fd = openSync(path, "r");
  try {
    const meta = (at: number): Buffer | undefined => {
      const bytes = Buffer.alloc(META_BYTES);
      const whole = readSync(fd, bytes, 0, META_BYTES, at) === META_BYTES;
      return whole && bytes.readUInt32LE(MAGIC_AT) === MAGIC ? bytes : undefined;
    };
    const first = meta(0);
    return first !== undefined && meta(first.readUInt32LE(PAGE_SIZE_AT)) !== undefined;
  } finally {
    closeSync(fd);
  }
}

/**
 * Opens the database file, or makes it. Each `put` is one synchronous LMDB transaction (http://www.lmdb.tech/doc/).
 *
 * @throws WEAVE_STORE when the file cannot be read or written, or has another format version
 */
export function lmdbStore(path: string): Store {
  const wrap = <T>(doing: string, run: () => T): T => {
    try {
      return run();
    } catch (cause) {
      if (cause instanceof WeaveError) throw cause;
      throw new WeaveError("WEAVE_STORE", `cannot ${doing} the database ${path}: ${errorText(cause)}`, {
        cause,
        next: `Check the disk. If the file is damaged, move it away (mv ${path} ${path}.bad) and launch again: the peer then starts as a new one.`,
      });
    }
  };
  const db = wrap("open", () => {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    if (!looksLikeLmdb(path)) throw new Error("it is damaged, or not a database of weave");
    return open<unknown, string>({ path, noSubdir: true, mapSize: MAP_BYTES, maxReaders: 16, compression: false });
  });
  wrap("read", () => {
    const format = db.get("format");
    if (format === undefined) db.putSync("format", FORMAT);
    else if (format !== FORMAT) {
      throw new WeaveError("WEAVE_STORE", `mismatched version of the database ${path}: ${format}, expected ${FORMAT}`, {
        next: "Run the version of weave that wrote it, or 'weave reset' to start as a new peer.",
      });
    }
  });
  return {
    get: (key) => wrap("read", () => db.get(key)),
    put: (key, value) => wrap("write", () => void db.putSync(key, value)),
    remove: (key) => wrap("write", () => void db.removeSync(key)),
    list: (prefix) =>
      wrap("read", () =>
        [...db.getRange({ start: prefix, end: `${prefix}\uffff` })].map(({ key, value }) => [key, value]),
      ),
    close: () => db.close(),
  };
}
