import { type Candidates, candidatesFor } from "#cli/completion/candidates.js";

/** The arguments of a command, by their number: flags and their values are not counted. */
export interface Positions {
  /** For the first argument, the second one and so on. */
  readonly candidates: readonly (readonly Candidates[])[];
  /** Whether the last entry is also for all later arguments; otherwise there are none. */
  readonly endless: boolean;
}

/** One argument of a form of the command table: `[<addr> ...]`. */
interface Argument {
  readonly candidates: readonly Candidates[];
  readonly optional: boolean;
  readonly repeated: boolean;
}

/** An argument: a bracketed group or a word, with the dots that follow it. */
const ARGUMENT = /(?:\[[^\]]*\]|\S+)(?: \.\.\.)?/g;
/** Flags, and their values, in a form. */
const FLAGS = /\[<flag> \.\.\.\]|\{flags\}|\[-[^\]]*\]|(?<=^|\s)-\w <\w+>/g;

/** What can be at each position of a command with these forms. */
export function positionsOf(command: string, forms: readonly string[]): Positions {
  const all = forms.map((form) =>
    (form.replace(FLAGS, "").match(ARGUMENT) ?? []).map((text) => argumentOf(command, text)),
  );
  const candidates: (readonly Candidates[])[] = [];
  // Arguments that can be next, in each form: a position is offered what any of them takes.
  let next = all.map((form) => reachable(form, [0]));
  for (;;) {
    const possible = next.map((indexes, form) => indexes.filter((index) => index < all[form].length));
    if (possible.every((indexes) => indexes.length === 0)) return { candidates, endless: false };
    candidates.push(distinct(possible.flatMap((indexes, form) => indexes.flatMap((i) => all[form][i].candidates))));
    const later = possible.map((indexes, form) =>
      reachable(
        all[form],
        indexes.flatMap((index) => (all[form][index].repeated ? [index, index + 1] : [index + 1])),
      ),
    );
    if (JSON.stringify(later) === JSON.stringify(next)) return { candidates, endless: true };
    next = later;
  }
}

/** These arguments, and those that can follow because the ones before are optional. */
function reachable(form: readonly Argument[], from: readonly number[]): number[] {
  const found = new Set(from);
  for (const index of found) if (form[index]?.optional) found.add(index + 1);
  return [...found].sort((a, b) => a - b);
}

function argumentOf(command: string, text: string): Argument {
  const inner = text.replace(/ \.\.\.(?=\]|$)/g, "").replace(/^\[|\]$/g, "");
  const alternatives = inner.split(/\s*\|\s*/);
  const words = alternatives.filter((word) => !word.startsWith("<"));
  const names = alternatives
    .filter((word) => word.startsWith("<"))
    .flatMap((placeholder) => candidatesFor(command, placeholder) ?? []);
  return {
    candidates: words.length === 0 ? names : [{ kind: "words", words }, ...names],
    optional: text.startsWith("["),
    repeated: text.includes(" ..."),
  };
}

const distinct = (candidates: readonly Candidates[]): Candidates[] => [
  ...new Map(candidates.map((each) => [JSON.stringify(each), each])).values(),
];
