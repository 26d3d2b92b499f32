import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "#test/lab/docs/pages.js";

/** Folders of the sources, from the ground up. */
export const SOURCE_FOLDERS = ["src", "mesh", "ipam", "dns", "docker", "router", "cli"] as const;

/** All source files by their path from the root. */
export const sources: ReadonlyMap<string, string> = new Map(
  SOURCE_FOLDERS.flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".ts"))
      .map((name) => join(folder, name))
      .map((file) => [file, readFileSync(join(ROOT, file), "utf8")] as const),
  ),
);

const ARITHMETIC = /^[\d_.\s()*+\-/<xa-fA-F]+$/;

/**
 * The value of a numeric constant, wherever in the sources it is declared.
 *
 * @throws Error: no file declares it as a number, or two declare it with different values
 */
export function constant(name: string): number {
  const values = new Set<number>();
  for (const text of sources.values())
    for (const [, value] of text.matchAll(new RegExp(`const ${name}(?:: number)? = ([^;]+);`, "g")))
      if (ARITHMETIC.test(value)) values.add(Number(new Function(`return ${value}`)()));
  if (values.size !== 1) throw new Error(`${name} has ${values.size} values in the sources: ${[...values]}`);
  return [...values][0];
}
