import { type ShapeName, schemaOf } from "#cli/json/document.js";
import type { DocumentShape } from "#cli/json/shape.js";
import { SHAPES } from "#cli/json/shapes.js";

const IS: Readonly<Record<string, (value: unknown) => boolean>> = {
  text: (value) => typeof value === "string",
  time: (value) => typeof value === "string" && /^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(value),
  number: (value) => typeof value === "number" && (!Number.isInteger(value) || Number.isSafeInteger(value)),
  boolean: (value) => typeof value === "boolean",
  object: (value) => typeof value === "object",
};

/** What in a document differs from the shape of that name: keys that are missing, not described, or of another type. */
export function shapeFaults(name: ShapeName, text: string): string[] {
  const { Schema, ...fields } = JSON.parse(text) as Record<string, unknown>;
  const wrong = Schema === schemaOf(name) ? [] : [`Schema is ${JSON.stringify(Schema)}`];
  return [...wrong, ...faultsAt("", fields, (SHAPES[name] as DocumentShape).fields)];
}

/** @param rows fields below the path, by the rest of their path */
function faultsAt(path: string, value: unknown, rows: DocumentShape["fields"]): string[] {
  if (rows[""] !== undefined) {
    const [type] = rows[""];
    const nullable = type.endsWith("?") && value === null;
    return nullable || IS[type.replace("?", "")](value) ? [] : [`${path} is no ${type}: ${JSON.stringify(value)}`];
  }
  const below = new Map<string, Record<string, DocumentShape["fields"][string]>>();
  for (const [row, field] of Object.entries(rows)) {
    const [, head, rest] = /^(\[\]|[^.[]+)\.?(.*)$/.exec(row)!;
    below.set(head, { ...below.get(head), [rest]: field });
  }
  if (below.has("[]")) {
    if (!Array.isArray(value)) return [`${path} is no list: ${JSON.stringify(value)}`];
    return value.flatMap((item) => faultsAt(`${path}[]`, item, below.get("[]")!));
  }
  if (typeof value !== "object" || value === null) return [`${path} is no object: ${JSON.stringify(value)}`];
  const others = below.get("*");
  const faults: string[] = [];
  const known = new Set<string>();
  for (const [head, fields] of below) {
    const key = head.replace("?", "");
    known.add(key);
    if (head === "*") continue;
    if (!Object.hasOwn(value, key)) faults.push(`${path}.${key} is missing`);
    else {
      const item = (value as Record<string, unknown>)[key];
      if (!(head.endsWith("?") && item === null)) faults.push(...faultsAt(`${path}.${key}`, item, fields));
    }
  }
  for (const [key, item] of Object.entries(value))
    if (!known.has(key)) {
      if (others === undefined) faults.push(`${path}.${key} is not described`);
      else faults.push(...faultsAt(`${path}.${key}`, item, others));
    }
  return faults;
}

/** Checks documents, and keeps which shapes were seen. */
export class Shapes {
  readonly #seen = new Set<string>();

  /** @throws Error with what differs */
  check(name: ShapeName, text: string, where: string): void {
    const faults = shapeFaults(name, text);
    if (faults.length > 0) throw new Error(`${where}: ${faults.join("; ")}\n${text}`);
    this.#seen.add(name);
  }

  /** Names of the shapes that no document had. @param elsewhere those that other tests check */
  missing(elsewhere: readonly ShapeName[]): string[] {
    return Object.keys(SHAPES).filter((name) => !this.#seen.has(name) && !elsewhere.includes(name as ShapeName));
  }
}
