import { type Candidates, NAMES } from "#cli/completion/candidates.js";
import { type CompletedCommand, type CompletedFlag, FIRST_FLAGS } from "#cli/completion/completion-table.js";
import { VERSION } from "#src/version.js";

/** A text in single quotes: fish has two escapes in them. */
const quoted = (text: string): string => `'${text.replace(/['\\]/g, "\\$&")}'`;

/** What fish's option `-a` takes for candidates: words, or a command in parentheses. */
function argumentOf(candidates: Candidates): string {
  if (candidates.kind === "words") return quoted(candidates.words.join(" "));
  if (candidates.kind === "list") return quoted(`(__fish_append , ${candidates.words.join(" ")})`);
  return quoted(candidates.kind === "file" ? "(__fish_complete_path)" : `(__weave_names ${candidates.kind})`);
}

const spelling = (text: string): string => (text.startsWith("--") ? `-l ${text.slice(2)}` : `-s ${text.slice(1)}`);

function flagLine(condition: string, { text, aliases, meaning, value }: CompletedFlag): string {
  const names = [text, ...aliases].map(spelling);
  const takes = value === undefined ? "" : value.candidates?.kind === "file" ? " -rF" : " -x";
  const listed =
    value?.candidates === undefined || value.candidates.kind === "file" ? "" : ` -a ${argumentOf(value.candidates)}`;
  // An alias is known, so that its value is completed, and has no description, which sets it apart.
  return names
    .map(
      (name, at) =>
        `complete -c weave -n ${quoted(condition)} ${name}${takes}${listed} -d ${quoted(at === 0 ? meaning : `as ${text}`)}\n`,
    )
    .join("");
}

function commandLines({ name, flags, positions: { candidates, endless } }: CompletedCommand): string {
  const places = candidates.flatMap((each, at) => {
    const range = endless && at === candidates.length - 1 ? `${at} +` : `${at}`;
    return each.map((one) => `complete -c weave -n ${quoted(`__weave_at ${name} ${range}`)} -a ${argumentOf(one)}\n`);
  });
  return `${flags.map((flag) => flagLine(`__weave_at ${name}`, flag)).join("")}${places.join("")}`;
}

/** Flags with a value of a command, in every spelling: the word after one is no argument. */
const valued = ({ flags }: CompletedCommand): string =>
  flags.flatMap(({ text, aliases, value }) => (value === undefined ? [] : [text, ...aliases])).join(" ");

/** The completion for fish 3.0 and later. */
export const fishCompletion = (commands: readonly CompletedCommand[]): string => `\
# Completion of weave ${VERSION} for fish; 'weave completion fish' printed it.

function __weave_names -d 'Names that only the running system knows, of one kind'
    switch $argv[1]
${Object.entries(NAMES)
  .map(([kind, command]) => `        case ${kind}\n            ${command}\n`)
  .join("")}    end
end

function __weave_valued -d 'The flags of a command that have a value'
    switch $argv[1]
${commands
  .map((command) => [command.name, valued(command)])
  .filter(([, flags]) => flags !== "")
  .map(([name, flags]) => `        case ${name}\n            string split ' ' -- ${quoted(flags)}\n`)
  .join("")}    end
end

${FUNCTIONS}
complete -c weave -f
${FIRST_FLAGS.map((flag) => flagLine("__weave_at ''", flag)).join("")}${commands
  .map(({ name, summary }) => `complete -c weave -n ${quoted("__weave_at ''")} -a ${name} -d ${quoted(summary)}\n`)
  .join("")}${commands.map(commandLines).join("")}`;

const FUNCTIONS = `\
function __weave_at -d 'Whether the command line is at a command, and after so many arguments of it'
    set -l words (commandline -opc)
    set -e words[1]
    test "$words[1]" = --local; and set -e words[1]
    if test -z "$argv[1]"
        test (count $words) -eq 0
        return
    end
    test "$words[1]" = "$argv[1]"; or return 1
    set -q argv[2]; or return 0
    set -l valued (__weave_valued $argv[1])
    set -l count 0
    set -l skip no
    set -l ended no
    for word in $words[2..-1]
        if test $skip = yes
            set skip no
        else if test $ended = no -a "$word" = --
            set ended yes
        else if test $ended = no; and string match -qr -- '^-.' $word
            string match -qr -- '^-[a-z][a-z-]' $word; and set word -$word
            contains -- $word $valued; and set skip yes
        else
            set count (math $count + 1)
        end
    end
    test $count -eq $argv[2]; or test "$argv[3]" = + -a $count -gt $argv[2]
end
`;
