import { COMMANDS, type CommandRow, GROUPS } from "#cli/support/command-table.js";
import { factsOf, isShown, type Row, sectionsOf, typed } from "#cli/support/flag-words.js";
import { PLACEHOLDERS } from "#cli/support/placeholders.js";
import type { Rows } from "#src/flag.js";

/** Columns of a line: the usual width of a terminal. */
const WIDTH = 80;
/** Columns of `weave NAME` in the list of all commands. Only `weave docker-bridge-ip` is longer. */
const NAME_COLUMNS = 17;
/** Indent of the description of a flag. */
const INDENT = 6;
const NO_FLAGS: Rows = {};

const byName: Readonly<Record<string, CommandRow>> = COMMANDS;

/** The flags of a command. Those of `launch` are loaded on demand, because this takes time. */
async function flagsOf(name: string): Promise<Rows> {
  return name === "launch" ? (await import("#cli/launch/launch-flags.js")).ALL_FLAGS : (byName[name].flags ?? NO_FLAGS);
}

/** Output of `weave help`: every command with its flags. */
export async function allUsage(): Promise<string> {
  const groups: string[] = [];
  for (const group of GROUPS) {
    const lines = [];
    for (const name of Object.keys(group)) lines.push(...formsOf(name, await flagsOf(name), true));
    groups.push(lines.join("\n"));
  }
  const terms = Object.entries(PLACEHOLDERS).map(([term, form]) => `${`<${term}>`.padStart(13)} = ${form}`);
  return `Usage:\n\n${groups.join("\n\n")}\n\nwhere\n${terms.join("\n")}\n\n'weave help <command>' explains a command and its flags.\n`;
}

/** Usage of one command, without descriptions. */
export function usageOf(name: string): string {
  const lines = formsOf(name, byName[name].flags ?? NO_FLAGS, false).join("\n");
  return `${lines.replaceAll("\nUsage:", "\n      ")}\n`;
}

/** Output of `weave help NAME`: usage, arguments, flags and examples. */
export async function helpOf(name: string): Promise<string> {
  const { summary, forms, details = [], examples = [] } = byName[name];
  const flags = await flagsOf(name);
  const used = `${forms.join(" ")} ${Object.values(flags).map(typed).join(" ")}`;
  const terms = Object.entries(PLACEHOLDERS).filter(([term]) => used.includes(`<${term}>`));
  const parts = [usageOf(name), `${summary}.\n`, ...details.map((paragraph) => wrap(paragraph, 0))];
  if (terms.length > 0) parts.push(terms.map(([term, form]) => `  <${term}> = ${form}\n`).join(""));
  for (const [section, rows] of sectionsOf(flags)) parts.push(sectionText(section, rows));
  if (examples.length > 0) parts.push(`Examples:\n${examples.map((line) => `  ${line}\n`).join("")}`);
  return parts.join("\n");
}

function sectionText(section: string, rows: readonly Row[]): string {
  const listed = rows.filter((row) => !isShown(row)).map(typed);
  const shown = rows.filter(isShown).map(flagHelp).join("");
  return `${section}:\n${shown}${listed.length > 0 ? wrap(listed.join(", "), 2) : ""}`;
}

/** A flag and its meaning, then its range, default and variable. */
function flagHelp(row: Row): string {
  const facts = factsOf(row);
  return `  ${typed(row)}\n${wrap(row.meaning, INDENT)}${facts.length === 0 ? "" : wrap(`(${facts.join("; ")})`, INDENT)}`;
}

/** A word of a form: a bracketed group or a plain word, with the dots that follow it. */
const WORD = /(?:\[[^\]]*\]|\S+)(?: \.\.\.)?/g;

/** The lines of a command's forms. @param full for the list of all commands, in which `launch` has all its flags */
function formsOf(name: string, flags: Rows, full: boolean): string[] {
  const given = Object.values(flags).filter(isShown).map(bracketed);
  const marker = full && name === "launch" ? "[<flag> ...]" : "{flags}";
  return byName[name].forms.flatMap((form) => {
    const words = (form.match(WORD) ?? []).flatMap((word) => (word === marker ? given : [word]));
    const head = `${full ? "" : "Usage: "}weave ${name}`;
    return folded(head, full ? NAME_COLUMNS : head.length, words);
  });
}

const bracketed = (row: Row): string => {
  const word = row.given === true && row.default === true ? `${typed(row)}=false` : typed(row);
  return `[${word}]${row.repeatable ? " ..." : ""}`;
};

/** A head and words after it, on aligned lines. @param indent columns of the head */
function folded(head: string, indent: number, words: readonly string[]): string[] {
  const [first = "", ...more] = linesOf(words, WIDTH - indent - 1);
  return [`${head.padEnd(indent)} ${first}`.trimEnd(), ...more.map((line) => `${" ".repeat(indent)} ${line}`)];
}

const wrap = (text: string, indent: number): string =>
  linesOf(text.split(" "), WIDTH - indent)
    .map((line) => `${" ".repeat(indent)}${line}\n`)
    .join("");

/** Breaks words into lines of at most `width` columns. A longer word has its own line. */
function linesOf(words: readonly string[], width: number): string[] {
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
