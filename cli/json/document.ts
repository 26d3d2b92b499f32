import type { SHAPES } from "#cli/json/shapes.js";

/** Name of a shape: a key of {@link SHAPES}. */
export type ShapeName = keyof typeof SHAPES;

/**
 * Version of each shape. Within a version keys are only added; a key that is removed, renamed or gets another type makes the next one.
 * A shape without a row here has version 1.
 */
const VERSIONS: Partial<Readonly<Record<ShapeName, number>>> = {};

/** Indent of a document: the same as that of `weave report`. */
const INDENT = 4;

/** The value of `Schema` in documents of a shape: `weave.ps/1`. */
export const schemaOf = (shape: ShapeName): string => `weave.${shape}/${VERSIONS[shape] ?? 1}`;

/**
 * The text of a document, with its schema as first key. A bigint becomes text: JSON's readers round numbers above 2^53.
 *
 * @param compact true: one line, for a sequence of documents (JSON Lines)
 */
export function documentText(shape: ShapeName, fields: object, compact = false): string {
  const text = (_: string, value: unknown) => (typeof value === "bigint" ? String(value) : value);
  return `${JSON.stringify({ Schema: schemaOf(shape), ...fields }, text, compact ? undefined : INDENT)}\n`;
}

/** Prints a document on standard output. */
export function printDocument(shape: ShapeName, fields: object): void {
  process.stdout.write(documentText(shape, fields));
}

/**
 * Whether the arguments of a command have `--json`. The command's own flags decide again, after they are parsed: an error in them must be
 * JSON already.
 */
export function wantsJson(args: readonly string[]): boolean {
  const end = args.indexOf("--");
  return (end === -1 ? args : args.slice(0, end)).some((word) => /^--?json(=true)?$/.test(word));
}

/** The lines of a text that the router has made, for a document. */
export const linesOf = (text: string): string[] => text.split("\n").filter((line) => line !== "");
