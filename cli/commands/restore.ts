import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { backupError, decodeBackup, MAX_BACKUP_BYTES } from "#cli/backup/backup-file.js";
import { checkedState, replaceState, statePlace, thisMachine } from "#cli/backup/state.js";
import { alone } from "#cli/supervision/alone.js";
import { supervisionHere } from "#cli/supervision/here.js";
import { usageError } from "#cli/support/exit.js";
import { readFlags } from "#cli/support/read-flags.js";
import { errorText, WeaveError } from "#src/errors.js";
import { makeFolder } from "#src/make-folder.js";
import { paths } from "#src/paths.js";
import { requireRoot } from "#src/root.js";

const STDIN = 0;
const READ_BYTES = 64 << 10;

/** `weave restore FILE`: replaces the state of this host's router, which must not run. Changes nothing if the backup cannot be used. */
export async function run(args: readonly string[]): Promise<void> {
  const { values, words } = readFlags("restore", args);
  if (words.length !== 1)
    throw usageError(words.length === 0 ? "the file is missing" : `unexpected argument: ${words[1]}`);
  const [file] = words;
  requireRoot();
  process.umask(0o077);
  const name = file === "-" ? "standard input" : file;
  const { head, body } = decodeBackup(readBounded(file, name), name);
  const place = await statePlace(values.dbPrefix);
  const state = checkedState(name, body, place.prefix);
  const here = thisMachine();
  if (head.machine !== undefined && here !== undefined && head.machine !== here && !values.force)
    throw backupError(
      `${name} is a backup of another machine, peer ${head.peer}: two machines with one identity disturb the whole network`,
      "If that machine is gone for good, or has a new identity, repeat this with --force.",
    );
  makeFolder(paths().run, 0o755);
  await alone(async () => {
    if (await (await supervisionHere()).isOn())
      throw new WeaveError("WEAVE_RUNNING", "the router runs: its state cannot be replaced now", {
        next: "Run 'weave stop' first.",
      });
    const replaced = await replaceState(place, state);
    process.stderr.write(
      `The state of peer ${head.peer}, of ${head.time}, is restored.${replaced === undefined ? "" : ` The replaced database is ${replaced}.`}\nStart it with 'weave launch --resume', with the flags of that time.\n`,
    );
  });
}

/** Reads a file of at most {@link MAX_BACKUP_BYTES}. @throws WEAVE_BACKUP */
function readBounded(file: string, name: string): Buffer {
  let fd: number | undefined;
  try {
    fd = file === "-" ? STDIN : openSync(file, "r");
    if (fstatSync(fd).isDirectory()) throw new Error("it is a folder");
    const parts: Buffer[] = [];
    for (let total = 0; ; ) {
      const part = Buffer.alloc(READ_BYTES);
      const length = readSync(fd, part, 0, READ_BYTES, null);
      if (length === 0) return Buffer.concat(parts);
      total += length;
      if (total > MAX_BACKUP_BYTES) throw new Error(`it has more than ${MAX_BACKUP_BYTES} bytes`);
      parts.push(part.subarray(0, length));
    }
  } catch (error) {
    throw backupError(`cannot read ${name}: ${errorText(error)}`);
  } finally {
    if (fd !== undefined && fd !== STDIN) closeSync(fd);
  }
}
