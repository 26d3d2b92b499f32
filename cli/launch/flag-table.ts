import { ALL_FLAGS } from "#cli/launch/launch-flags.js";
import { defaultWords, isShown, type Row, sectionsOf, typed } from "#cli/support/flag-words.js";

const BEGIN = "<!-- flags: written by `npm run docs` -->";
const END = "<!-- /flags -->";

/** Writes the table of the launch flags between the two marks of a page. @throws Error when the page has no marks */
export function withFlagTable(page: string): string {
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error("the page has no place for the table of flags");
  return `${page.slice(0, begin)}${BEGIN}\n${flagTable()}${page.slice(end)}`;
}

function flagTable(): string {
  const lines = [...sectionsOf(ALL_FLAGS)].map(([section, rows]) => {
    const shown = rows.filter(isShown);
    // Flags without a meaning are only listed.
    if (shown.length === 0) return `${section}: ${rows.map((row) => `\`${typed(row)}\``).join(", ")}\n`;
    return `**${section}**\n\n| flag | variable | default | value | meaning |\n|---|---|---|---|---|\n${shown.map(tableRow).join("")}`;
  });
  return `${lines.join("\n")}\n`;
}

function tableRow(row: Row): string {
  const variable = row.env ?? row.defaultFrom ?? "";
  const value = row.given === undefined ? row.shape.expected : "";
  const words = [defaultWords(row), value, row.meaning].map((cell) => cell.replaceAll("<", "&lt;"));
  const cells = [`\`${typed(row)}\``, code(variable), ...words];
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |\n`;
}

/** Marks environment variables in a text as code. */
const code = (words: string): string => words.replace(/[A-Z][A-Z_]+/g, (name) => `\`${name}\``);
