/** Types of values in documents. A 64-bit number is text. */
export type FieldType = "text" | "time" | "number" | "boolean" | "object";

/** A field: its type, with a question mark if it can be null, and its meaning for the page. */
export type Field = readonly [type: FieldType | `${FieldType}?`, meaning: string];

/** A kind of document. */
export interface DocumentShape {
  /** The commands that print it, without `weave` and `--json`. */
  readonly commands: readonly string[];
  /**
   * All fields by path: `Peers[].Name` is the field `Name` of each item of the array `Peers`, `Rejected.*` each value of the object
   * `Rejected`, whose keys are data. A field is always there; `null` stands for a missing value. An array or object with `?` behind its
   * name (`Order?.By`) can be null.
   */
  readonly fields: Readonly<Record<string, Field>>;
}
