import { type ShapeName, schemaOf } from "#cli/json/document.js";
import type { DocumentShape } from "#cli/json/shape.js";
import { SHAPES, TYPES } from "#cli/json/shapes.js";
import { JSON_PAGE_HEAD } from "#test/lab/docs/json-page-head.js";

/** The page of the documents that commands print with `--json`. */
export function jsonPage(): string {
  const types = Object.entries(TYPES).map(([type, meaning]) => `| ${type} | ${meaning} |\n`);
  const sections = (Object.entries(SHAPES) as [ShapeName, DocumentShape][]).map(section);
  return `${JSON_PAGE_HEAD}\n| type | in JSON |\n|---|---|\n${types.join("")}\n## Documents\n\n${sections.join("\n")}`;
}

function section([name, { commands, fields }]: [ShapeName, DocumentShape]): string {
  const by = commands.map((command) => `\`weave ${command} --json\``).join(", ");
  const rows = Object.entries(fields).map(
    ([path, [type, meaning]]) => `| \`${path}\` | ${type.replace("?", " or null")} | ${meaning} |\n`,
  );
  return `### ${schemaOf(name)}\n\n${by || "A command that failed, on standard error."}\n\n| field | type | meaning |\n|---|---|---|\n${rows.join("")}`;
}
