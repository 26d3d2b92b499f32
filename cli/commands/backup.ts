import { closeSync, linkSync, openSync, renameSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { backupError, encodeBackup } from "#cli/backup/backup-file.js";
import { readState, statePlace, thisMachine } from "#cli/backup/state.js";
import { usageError } from "#cli/support/exit.js";
import { progress } from "#cli/support/progress.js";
import { readFlags } from "#cli/support/read-flags.js";
import { errorText, systemCode } from "#src/errors.js";
import { requireRoot } from "#src/root.js";

const STDOUT = 1;

/** `weave backup FILE`: writes the state of this host's router to one file. The router may run. */
export async function run(args: readonly string[]): Promise<void> {
  const { values, words } = readFlags("backup", args);
  if (words.length !== 1)
    throw usageError(words.length === 0 ? "the file is missing" : `unexpected argument: ${words[1]}`);
  const [file] = words;
  if (file === "-" && process.stdout.isTTY) throw usageError("a backup contains private keys: not for a terminal");
  requireRoot();
  process.umask(0o077);
  const body = await progress("reading the state of the router", async () =>
    readState(await statePlace(values.dbPrefix)),
  );
  const peer = body.database.find(([key]) => key === "peername")?.[1];
  const bytes = encodeBackup({ peer: String(peer), machine: thisMachine(), time: new Date().toISOString() }, body);
  if (file === "-") return writeOut(bytes);
  writeNew(file, bytes);
  process.stderr.write(`The state of peer ${peer} is in ${file}. It contains private keys: keep it secret.\n`);
}

/** Writes a new file, which is complete or not there. @throws WEAVE_BACKUP */
function writeNew(file: string, bytes: Uint8Array): void {
  const draft = `${file}.draft-${process.pid}`;
  try {
    writeFileSync(draft, bytes, { mode: 0o600, flag: "wx", flush: true });
    name(draft, file);
  } catch (error) {
    if (systemCode(error) === "EEXIST")
      throw backupError(
        `${file} exists already`,
        "A backup replaces no file: choose another name, or remove it first.",
      );
    throw backupError(`cannot write ${file}: ${errorText(error)}`);
  } finally {
    rmSync(draft, { force: true });
  }
}

/** Gives a complete file its name, which no other file may have. */
function name(draft: string, file: string): void {
  try {
    linkSync(draft, file);
  } catch (error) {
    if (systemCode(error) === "EEXIST") throw error;
    // FAT and some file servers have no links: an empty file takes the name first.
    closeSync(openSync(file, "wx", 0o600));
    renameSync(draft, file);
  }
}

function writeOut(bytes: Uint8Array): void {
  try {
    for (let at = 0; at < bytes.length; ) at += writeSync(STDOUT, bytes, at);
  } catch (error) {
    throw backupError(`cannot write to standard output: ${errorText(error)}`);
  }
}
