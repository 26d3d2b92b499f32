import { type Candidates, candidatesFor } from "#cli/completion/candidates.js";
import { type Positions, positionsOf } from "#cli/completion/positions.js";
import { ALL_FLAGS } from "#cli/launch/launch-flags.js";
import { COMMANDS, type CommandRow } from "#cli/support/command-table.js";
import type { Row } from "#cli/support/flag-words.js";
import { flagText, type Rows } from "#src/flag.js";

/** A flag in a completion. */
export interface CompletedFlag {
  /** With its dashes. */
  readonly text: string;
  /** Other names of it, with their dashes: they are understood, and not offered. */
  readonly aliases: readonly string[];
  readonly meaning: string;
  /** Undefined: a switch. */
  readonly value: { readonly name: string; readonly candidates: Candidates | undefined } | undefined;
  readonly repeatable: boolean;
}

/** A command in a completion. */
export interface CompletedCommand {
  readonly name: string;
  readonly summary: string;
  readonly flags: readonly CompletedFlag[];
  readonly positions: Positions;
}

const HELP: CompletedFlag = toggled("--help", "show the meaning of each flag");
/** Flags in the place of a command. */
export const FIRST_FLAGS: readonly CompletedFlag[] = [
  toggled("--help", "show all commands"),
  toggled("--version", "print the versions of this command and of the running router"),
];

/** Every command with its flags and arguments, from the tables that also describe them in help. */
export function completionTable(): CompletedCommand[] {
  return Object.entries<CommandRow>(COMMANDS).map(([name, row]) => {
    const rows: Rows = name === "launch" ? ALL_FLAGS : (row.flags ?? {});
    const flags = Object.values(rows).flatMap((each) => flagsOf(name, each));
    const commands = { kind: "words", words: Object.keys(COMMANDS) } as const;
    const positions = name === "help" ? { candidates: [[commands]], endless: false } : positionsOf(name, row.forms);
    return { name, summary: row.summary, flags: name === "help" ? flags : [...flags, HELP], positions };
  });
}

/** A flag as it is typed; of a switch that is on by default also the form that turns it off. */
function flagsOf(command: string, row: Row): CompletedFlag[] {
  const meaning = row.meaning === "" ? row.section.toLowerCase() : row.meaning;
  const flag: CompletedFlag = {
    text: flagText(row),
    aliases: (row.aliases ?? []).map((alias) => flagText({ flag: alias })),
    meaning,
    value: row.given === undefined ? valueOfFlag(command, row) : undefined,
    repeatable: row.repeatable === true,
  };
  return row.given === true && row.default === true ? [flag, toggled(`--no-${row.flag}`, meaning)] : [flag];
}

function valueOfFlag(command: string, { placeholder = "value", shape }: Row): CompletedFlag["value"] {
  return { name: placeholder, candidates: shape.listing ?? candidatesFor(command, `<${placeholder}>`) };
}

function toggled(text: string, meaning: string): CompletedFlag {
  return { text, aliases: [], meaning, value: undefined, repeatable: false };
}
