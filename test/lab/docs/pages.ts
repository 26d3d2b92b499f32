import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** The root of the project. */
export const ROOT = new URL("../../../../", import.meta.url).pathname;

/** A page of the project's documentation, by its path. */
export const page = (path: string): string => readFileSync(join(ROOT, path), "utf8");

/** All pages: those at the root, of docs/ and of examples/. */
export function allPages(): string[] {
  const markdown = (folder: string) =>
    readdirSync(join(ROOT, folder), { recursive: folder !== "", encoding: "utf8" })
      .filter((name) => name.endsWith(".md") && (folder !== "" || !name.includes("/")))
      .map((name) => join(folder, name));
  return [...markdown(""), ...markdown("docs"), ...markdown("examples")].sort();
}

/** The content of a page's fenced blocks whose fence has this label. */
export function blocks(text: string, label: string): string[] {
  return [...text.matchAll(/^```([^\n]*)\n(.*?)^```$/gms)]
    .filter(([, fence]) => fence === label)
    .map(([, , body]) => body);
}

/** The one block with this label. @throws Error: there is none, or more than one */
export function block(text: string, label: string): string {
  const found = blocks(text, label);
  if (found.length !== 1) throw new Error(`${found.length} blocks are labelled "${label}"`);
  return found[0];
}

/** Code spans of a page, without its fenced blocks. */
export const spansOf = (text: string): string[] =>
  [...text.replace(/^```.*?^```$/gms, "").matchAll(/`([^`]+)`/g)].map(([, span]) => span.replace(/\s+/g, " "));
