import { dirname } from "node:path";
import { open, type RootDatabase } from "lmdb";
import { WeaveError } from "#src/errors.js";
import { checkLmdbFile, databaseError } from "#src/lmdb-file.js";
import { makeFolder } from "#src/make-folder.js";
import type { Store } from "#src/store.js";
import { VERSION } from "#src/version.js";

/** Version of the database format: the keys, and the shapes of their values. A file of a later one is rejected. */
export const STORE_FORMAT = 1;
/** Key of the format. A database without it has format 1. */
const FORMAT_KEY = "format";
/** Key of the last version of weave that wrote to the database. */
const WRITER_KEY = "writer";
/** Maximum size of the database file, which LMDB maps; the stored state is far below a megabyte. */
export const MAP_BYTES = 64 << 20;

type Entries = [key: string, value: unknown][];
type Database = RootDatabase<unknown, string>;

/**
 * Opens the database file, or makes it. Each `put` is one synchronous LMDB transaction (http://www.lmdb.tech/doc/).
 *
 * @throws WEAVE_STORE when the file cannot be read or written, is damaged, or has a later format
 */
export function lmdbStore(path: string): Store {
  const wrap = wrapped(path);
  const db = openDatabase(path, false);
  wrap("write", () => {
    if (db.get(FORMAT_KEY) === undefined) db.putSync(FORMAT_KEY, STORE_FORMAT);
    if (db.get(WRITER_KEY) !== VERSION) db.putSync(WRITER_KEY, VERSION);
  });
  return {
    get: (key) => wrap("read", () => db.get(key)),
    put: (key, value) => wrap("write", () => void db.putSync(key, value)),
    remove: (key) => wrap("write", () => void db.removeSync(key)),
    change: (entries) =>
      wrap("write", () =>
        db.transactionSync(() => {
          for (const [key, value] of entries) value === undefined ? db.removeSync(key) : db.putSync(key, value);
        }),
      ),
    list: (prefix) => wrap("read", () => entriesOf(db, { start: prefix, end: `${prefix}\uffff` })),
    close: () => db.close(),
  };
}

/** Reads all entries of one moment, also of a database that a router uses. @throws WEAVE_STORE */
export async function readDatabase(path: string): Promise<Entries> {
  const db = openDatabase(path, true);
  try {
    return wrapped(path)("read", () => entriesOf(db));
  } finally {
    await db.close();
  }
}

/** Writes a new database. @throws WEAVE_STORE */
export async function writeDatabase(path: string, entries: Readonly<Entries>): Promise<void> {
  const db = openDatabase(path, false);
  try {
    wrapped(path)("write", () =>
      db.transactionSync(() => {
        for (const [key, value] of entries) db.putSync(key, value);
      }),
    );
  } finally {
    await db.close();
  }
}

/** Checks the format in entries of a database. @param what names their file @throws WEAVE_STORE */
export function checkFormat(what: string, format: unknown, writer: unknown): void {
  if (format === undefined || format === STORE_FORMAT) return;
  if (!Number.isInteger(format))
    throw new WeaveError("WEAVE_STORE", `${what} holds a damaged '${FORMAT_KEY}'`, {
      next: "Restore a backup ('weave restore FILE'), or 'weave reset --force' to start as a new peer.",
    });
  const by =
    typeof writer === "string" && /^[\w.+-]{1,64}$/.test(writer) ? `weave ${writer}` : "another version of weave";
  throw new WeaveError(
    "WEAVE_STORE",
    `${what} was written by ${by}, in format ${format}; this is weave ${VERSION}, which knows format ${STORE_FORMAT}`,
    { next: `Install ${by} again, or a later one. Or restore a backup of this version ('weave restore FILE').` },
  );
}

/** Checks the format that the entries name. @throws WEAVE_STORE */
export function checkEntries(what: string, entries: Readonly<Entries>): void {
  const value = (wanted: string) => entries.find(([key]) => key === wanted)?.[1];
  checkFormat(what, value(FORMAT_KEY), value(WRITER_KEY));
}

const wrapped =
  (path: string) =>
  <T>(doing: string, run: () => T): T => {
    try {
      return run();
    } catch (cause) {
      throw databaseError(path, doing, cause);
    }
  };

function openDatabase(path: string, readOnly: boolean): Database {
  const wrap = wrapped(path);
  const db = wrap("open", () => {
    if (!readOnly) makeFolder(dirname(path), 0o700);
    checkLmdbFile(path);
    const options = { path, noSubdir: true, mapSize: MAP_BYTES, maxReaders: 16, compression: false, readOnly };
    return open<unknown, string>(options);
  });
  try {
    wrap("read", () => {
      const entries = entriesOf(db);
      // Pages that were overwritten lack some of them.
      const { entryCount } = db.getStats() as { entryCount: number };
      if (entries.length !== entryCount)
        throw new Error(`it is damaged: ${entries.length} of ${entryCount} entries are left`);
      checkEntries(`the database ${path}`, entries);
    });
    return db;
  } catch (error) {
    void db.close();
    throw error;
  }
}

const entriesOf = (db: Database, range: { start?: string; end?: string } = {}): Entries =>
  [...db.getRange(range)].map(({ key, value }) => [key, value]);
