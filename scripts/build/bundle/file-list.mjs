import { readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/**
 * Writes `files.json`, by which an incomplete installation is detected (src/installation.ts): the files that run, with their
 * sizes. Native modules have none: a package may remove their symbols.
 */
export function fileList({ out }) {
  const list = ["lib", "native"].flatMap((folder) =>
    filesIn(out, folder).map((path) =>
      path.endsWith(".node") ? { path } : { path, bytes: statSync(join(out, path)).size },
    ),
  );
  writeFileSync(join(out, "files.json"), `[\n${list.map((file) => JSON.stringify(file)).join(",\n")}\n]\n`);
}

const filesIn = (out, folder) =>
  readdirSync(join(out, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(out.length + 1))
    .sort();
