import { type Candidates, NAMES } from "#cli/completion/candidates.js";
import { type CompletedCommand, type CompletedFlag, FIRST_FLAGS } from "#cli/completion/completion-table.js";
import { VERSION } from "#src/version.js";

/** A text inside a specification of `_arguments`: brackets and colons have a meaning there. */
const escaped = (text: string): string => text.replace(/[\\[\]:]/g, "\\$&");
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/** The action of `_arguments` that offers candidates. */
function actionOf(candidates: Candidates | undefined): string {
  if (candidates === undefined) return " ";
  if (candidates.kind === "words") return `(${candidates.words.join(" ")})`;
  if (candidates.kind === "list") return `_sequence compadd - ${candidates.words.join(" ")}`;
  return candidates.kind === "file" ? "_files" : `_weave_${functionName(candidates.kind)}`;
}

const functionName = (kind: string): string => kind.replaceAll("-", "_");

function flagSpecs({ text, aliases, meaning, value, repeatable }: CompletedFlag): string[] {
  return [text, ...aliases].map((each, at) => {
    // `--port=` stands for a value after "=" or in the next word; `-h` has it in the next word.
    const join = value === undefined ? "" : each.startsWith("--") ? "=" : "";
    const takes = value === undefined ? "" : `:${escaped(value.name)}:${actionOf(value.candidates)}`;
    // An alias is understood, but not offered.
    return quoted(`${at > 0 ? "!" : repeatable ? "*" : ""}${each}${join}[${escaped(meaning)}]${takes}`);
  });
}

/**
 * What stands at a position without candidates. `_arguments` would show a message for an empty action, and with a message the shell
 * inserts no flag.
 */
const NOTHING = "_weave_nothing";

/** One specification for each position; several kinds of candidates are alternatives. */
function positionSpecs({ positions: { candidates, endless } }: CompletedCommand): string[] {
  return candidates.map((each, at) => {
    const place = endless && at === candidates.length - 1 ? "*" : `${at + 1}`;
    const words = each.flatMap((one) => (one.kind === "words" ? one.words : []));
    const others = each.filter((one) => one.kind !== "words");
    if (others.length === 0)
      return quoted(`${place}:argument:${words.length === 0 ? NOTHING : `(${words.join(" ")})`}`);
    if (words.length === 0 && others.length === 1) return quoted(`${place}:${others[0].kind}:${actionOf(others[0])}`);
    const groups = [
      ...(words.length === 0 ? [] : [`argument\\:argument\\:(${words.join("\\ ")})`]),
      ...others.map((one) => `${one.kind}\\:${one.kind}\\:${actionOf(one)}`),
    ];
    return quoted(`${place}:argument:_alternative ${groups.join(" ")}`);
  });
}

function commandCase(command: CompletedCommand): string {
  const specs = [...command.flags.flatMap(flagSpecs), ...positionSpecs(command)];
  return `    ${command.name})\n      _arguments ${specs.map((spec) => `\\\n        ${spec}`).join(" ")}\n      ;;\n`;
}

/** The completion for zsh 5. It is a file of `fpath`, or is read by `source` after `compinit`. */
export const zshCompletion = (commands: readonly CompletedCommand[]): string => `\
#compdef weave
# Completion of weave ${VERSION} for zsh; 'weave completion zsh' printed it.

${Object.entries(NAMES)
  .map(
    ([kind, command]) => `_weave_${functionName(kind)}() {
  local -a found
  found=("\${(@f)$(${command})}")
  compadd "$@" -a -- found
}
`,
  )
  .join("\n")}
${NOTHING}() {
  return 1
}

_weave_commands() {
  local -a commands
  commands=(
${commands.map(({ name, summary }) => `    ${quoted(`${escaped(name)}:${summary}`)}\n`).join("")}  )
  _describe -t commands 'weave command' commands "$@"
}

_weave_flags_and_arguments() {
  case $1 in
${commands.map(commandCase).join("")}  esac
}

_weave() {
  local curcontext=$curcontext state line ret=1
  typeset -A opt_args
  _arguments -C '!--local' ${FIRST_FLAGS.flatMap(flagSpecs).join(" ")} '1:command:_weave_commands' '*::argument:->argument' && ret=0
  if [[ $state == argument ]]; then
    _weave_flags_and_arguments $words[1] && ret=0
  fi
  return ret
}

# As a file of fpath it is the function itself; after 'source' it is registered.
if [[ $funcstack[1] == _weave ]]; then
  _weave "$@"
else
  compdef _weave weave
fi
`;
