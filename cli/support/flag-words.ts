import { type Flag, flagText, type Rows } from "#src/flag.js";

/** A flag of any type. */
export type Row = Flag<unknown>;

/** Flags by section; sections are in the order of their first flags. */
export function sectionsOf(rows: Rows): Map<string, Row[]> {
  const sections = new Map<string, Row[]>();
  for (const row of Object.values(rows)) sections.set(row.section, [...(sections.get(row.section) ?? []), row]);
  return sections;
}

/** Whether help describes a flag. One without a meaning is only listed. */
export const isShown = ({ meaning }: Row): boolean => meaning !== "";

/** A flag with its placeholder: `--port <port>`. */
export const typed = (row: Row): string =>
  row.placeholder === undefined ? flagText(row) : `${flagText(row)} <${row.placeholder}>`;

/** The default as text; "" for a switch that is off. */
export function defaultWords(row: Row): string {
  if (row.defaultText !== undefined) return row.defaultText;
  const { default: value } = row;
  if (row.given !== undefined) return row.given === value ? "on" : "";
  return value === undefined || typeof value === "function" ? "" : String(value);
}

/** Range, default and variable of a flag, each in a few words. */
export function factsOf(row: Row): string[] {
  const fallback = defaultWords(row);
  const variable = row.env ?? row.defaultFrom;
  return [
    row.given === undefined ? row.shape.expected : "",
    fallback === "" ? "" : `default: ${fallback}`,
    variable === undefined ? "" : `environment: ${variable}`,
  ].filter((fact) => fact !== "");
}
