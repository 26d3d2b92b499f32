import { existsSync, linkSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { type BackupBody, malformed } from "#cli/backup/backup-file.js";
import { supervisionHere } from "#cli/supervision/here.js";
import { keptLaunch } from "#cli/supervision/kept-launch.js";
import { launchOptions } from "#cli/support/launched.js";
import { parseOptions } from "#router/options.js";
import { checkIdentity } from "#router/peers/identity.js";
import { errorText, WeaveError } from "#src/errors.js";
import { machineIdBytes } from "#src/linux/machine-id.js";
import { lockFileOf } from "#src/lmdb-file.js";
import { makeFolder } from "#src/make-folder.js";
import { databaseFile, keptLaunchFile, lastLaunchFile, newLaunchFile, paths, restorePrefix } from "#src/paths.js";
import { memoryStore } from "#src/store.js";
import { checkEntries, lmdbStore, readDatabase, writeDatabase } from "#src/store-lmdb.js";
import { toHex } from "#src/text.js";

/** Where the state of this host's router is. */
export interface StatePlace {
  /** Path prefix of the database. */
  readonly prefix: string;
  /** Path of the options that are kept for starts without a user. */
  readonly kept: string;
  /** Path of the mark of a launch whose router was not ready yet. */
  readonly newLaunch: string;
}

/** Finds the state: that of the last launch, or the default place. @param given the user's `--db-prefix` */
export async function statePlace(given: string | undefined): Promise<StatePlace> {
  const { kind, databasePrefix } = await supervisionHere();
  const prefix = given ?? launchOptions().dbPrefix ?? (await databasePrefix?.()) ?? keptPrefix() ?? paths().dbPrefix;
  // In a container both are in one volume.
  const env = kind === "container" ? { WEAVE_STATE_DIR: dirname(prefix) } : process.env;
  return { prefix, kept: keptLaunchFile(env), newLaunch: newLaunchFile(env) };
}

function keptPrefix(): string | undefined {
  try {
    return keptLaunch()?.options.dbPrefix;
  } catch {
    // The file is damaged: a restore may repair it.
    return undefined;
  }
}

/** Identifies this machine; undefined where nothing does. */
export function thisMachine(): string | undefined {
  const bytes = machineIdBytes();
  return bytes === undefined ? undefined : toHex(bytes);
}

/** Reads the state, also of a router that runs. @throws WEAVE_STORE; WEAVE_BACKUP when there is none */
export async function readState({ prefix, kept }: StatePlace): Promise<BackupBody> {
  const database = databaseFile(prefix);
  if (!existsSync(database))
    throw new WeaveError("WEAVE_BACKUP", `there is nothing to back up: ${database} does not exist`, {
      next: "'weave launch' makes it. Of a router with another --db-prefix, give the same flag here.",
    });
  return {
    database: await readDatabase(database),
    kept: textOf(kept),
    last: textOf(lastLaunchFile(prefix)),
  };
}

/** Checks a state, and adapts its options to the place where it is restored. @throws WEAVE_BACKUP, WEAVE_STORE */
export function checkedState(name: string, { database, kept, last }: BackupBody, prefix: string): BackupBody {
  checkEntries(`the database in ${name}`, database as [string, unknown][]);
  try {
    checkIdentity(memoryStore(new Map(database)));
    return {
      database,
      kept:
        kept && optionsOf(kept, (value) => ({ ...value, options: { ...(value.options as object), dbPrefix: prefix } })),
      last: last && optionsOf(last, (value) => ({ ...value, dbPrefix: prefix })),
    };
  } catch (error) {
    throw malformed(name, errorText(error));
  }
}

/** Checks a text of launch options, and adapts it. @throws Error, WEAVE_FLAG_INVALID */
function optionsOf(text: string, adapt: (value: Record<string, unknown>) => Record<string, unknown>): string {
  const value = JSON.parse(text) as Record<string, unknown>;
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new Error("its launch options are none");
  const adapted = adapt(value);
  if ("options" in value) parseOptions(adapted.options);
  return `${JSON.stringify(adapted)}\n`;
}

/**
 * Replaces the state. The database is replaced in one step, after everything else: when this process ends before, the old one
 * is still there.
 *
 * @returns where the replaced database is; undefined if there was none
 * @throws WEAVE_STORE
 */
export async function replaceState(
  place: StatePlace,
  { database, kept, last }: BackupBody,
): Promise<string | undefined> {
  const { prefix } = place;
  const file = databaseFile(prefix);
  const draft = `${restorePrefix(file)}draft`;
  const remove = () => {
    for (const each of [draft, lockFileOf(draft)]) rmSync(each, { force: true });
  };
  remove();
  try {
    await writeDatabase(draft, database as [string, unknown][]);
    // What the router would reject must not take the place of a database that works.
    await lmdbStore(draft).close();
    replaceText(place.kept, kept);
    // The stored targets are those of the backup.
    rmSync(place.newLaunch, { force: true });
    replaceText(lastLaunchFile(prefix), last);
    const aside = `${restorePrefix(file)}replaced-${new Date().toISOString().replace(/\D/g, "")}`;
    const hadOne = existsSync(file);
    if (hadOne) linkSync(file, aside);
    renameSync(draft, file);
    rmSync(lockFileOf(file), { force: true });
    return hadOne ? aside : undefined;
  } catch (error) {
    if (error instanceof WeaveError) throw error;
    throw new WeaveError("WEAVE_STORE", `cannot write to ${dirname(file)}: ${errorText(error)}`, { cause: error });
  } finally {
    remove();
  }
}

/** Replaces a text file in one step; without a text the file is removed. */
function replaceText(file: string, text: string | undefined): void {
  if (text === undefined) return rmSync(file, { force: true });
  makeFolder(dirname(file), 0o700);
  const draft = `${dirname(file)}/.${basename(file)}.draft`;
  rmSync(draft, { force: true });
  writeFileSync(draft, text, { mode: 0o600, flush: true });
  renameSync(draft, file);
}

function textOf(file: string): string | undefined {
  return existsSync(file) ? readFileSync(file, "utf8") : undefined;
}
