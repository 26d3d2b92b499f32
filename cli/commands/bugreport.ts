import { writeFileSync, writeSync } from "node:fs";
import { hostname } from "node:os";
import { gzipSync } from "node:zlib";
import { redactor } from "#cli/bugreport/redaction.js";
import { knownSecrets } from "#cli/bugreport/secrets.js";
import { sourcesOf, textOf } from "#cli/bugreport/sources.js";
import { doctorDocument } from "#cli/doctor/doctor-document.js";
import { printDocument } from "#cli/json/document.js";
import { tarArchive } from "#cli/supervision/container/tar.js";
import { usageError } from "#cli/support/exit.js";
import { progress } from "#cli/support/progress.js";
import { readFlags } from "#cli/support/read-flags.js";
import { errorText, systemCode, WeaveError } from "#src/errors.js";
import { fileRemedy } from "#src/file-error.js";
import { requireRoot } from "#src/root.js";
import { VERSION } from "#src/version.js";

const STDOUT = 1;

/** `weave bugreport [FILE]`: writes one archive with what is known of this host's weave, without secrets. */
export async function run(args: readonly string[]): Promise<void> {
  const { values, words } = readFlags("bugreport", args);
  const time = new Date().toISOString().slice(0, 19).replaceAll(":", "");
  const folder = `weave-bugreport-${hostname()
    .replaceAll(/[^\w.-]/g, "_")
    .slice(0, 40)}-${time}`;
  const [file = `${folder}.tar.gz`, ...more] = words;
  if (more.length > 0) throw usageError(`unexpected argument: ${more[0].slice(0, 64)}`);
  if (file === "-" && (process.stdout.isTTY || values.json))
    throw usageError("an archive is not for a terminal, and is no JSON");
  requireRoot();
  const redact = redactor(knownSecrets(process.env));
  // Several programs of the host at the same time; the file takes the longest of them.
  const texts = await progress("reading state, logs and network of this host", () =>
    Promise.all(sourcesOf().map(async (source) => ({ name: source.name, content: redact(await textOf(source)) }))),
  );
  const doctor = {
    name: "doctor.json",
    content: redact(await progress("looking for what is wrong ('weave doctor')", doctorDocument)),
  };
  const about = `weave ${VERSION}, node ${process.version}, ${process.arch}, ${new Date().toISOString()}\n`;
  const files = [{ name: "README.txt", content: `${about}${NOTE}` }, doctor, ...texts];
  const seconds = Math.floor(Date.now() / 1_000);
  const archive = gzipSync(
    tarArchive(
      files.map(({ name, content }) => ({ name: `${folder}/${name}`, content })),
      seconds,
    ),
  );
  write(file, archive);
  if (file === "-") return;
  if (values.json) return printDocument("bugreport", { File: file, Bytes: archive.length });
  process.stdout.write(`${file}\n`);
  process.stderr.write(
    `Passwords, tokens and keys are removed. Names and addresses of hosts and containers are in it: read it before you publish it.\n`,
  );
}

const NOTE = "Passwords, tokens and private keys are removed. Names and addresses of hosts and containers are here.\n";

/** Writes a new file for its owner alone, or standard output. @throws WEAVE_FILE */
function write(file: string, archive: Buffer): void {
  try {
    if (file !== "-") return writeFileSync(file, archive, { mode: 0o600, flag: "wx" });
    for (let at = 0; at < archive.length; ) at += writeSync(STDOUT, archive, at);
  } catch (cause) {
    const exists = systemCode(cause) === "EEXIST";
    throw new WeaveError("WEAVE_FILE", `cannot write ${file}: ${exists ? "it exists already" : errorText(cause)}`, {
      cause,
      next: exists ? "Choose another name." : fileRemedy(cause, file),
    });
  }
}
