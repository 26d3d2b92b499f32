import { type Candidates, NAMES } from "#cli/completion/candidates.js";
import { type CompletedCommand, type CompletedFlag, FIRST_FLAGS } from "#cli/completion/completion-table.js";
import { VERSION } from "#src/version.js";

/**
 * Candidates in one line: words, or `@KIND` for names that are looked up; a comma first for several words with commas between.
 */
function lineOf(candidates: readonly (Candidates | undefined)[]): string {
  return candidates
    .map((each) => {
      if (each === undefined) return "";
      if (each.kind === "words") return each.words.join(" ");
      return each.kind === "list" ? `, ${each.words.join(" ")}` : `@${each.kind}`;
    })
    .join(" ");
}

const quoted = (line: string): string => `'${line}'`;
const textsOf = (flags: readonly CompletedFlag[]): string => flags.map(({ text }) => text).join(" ");

/** Rows of a `case`: each pattern with what is printed. */
const rows = (entries: readonly (readonly [pattern: string, line: string])[]): string =>
  entries.map(([pattern, line]) => `    ${pattern}) echo ${quoted(line)} ;;\n`).join("");

function valueRows({ name, flags }: CompletedCommand): string {
  return rows(
    flags.flatMap(({ text, aliases, value }) =>
      value === undefined
        ? []
        : [
            [
              [text, ...aliases].map((each) => quoted(`${name} ${each}`)).join("|"),
              lineOf([value.candidates]),
            ] as const,
          ],
    ),
  );
}

function argumentRows({ name, positions: { candidates, endless } }: CompletedCommand): string {
  return rows(
    candidates.map((each, at) => {
      const all = endless && at === candidates.length - 1;
      return [all ? `${quoted(`${name} `)}*` : quoted(`${name} ${at}`), lineOf(each)] as const;
    }),
  );
}

/** The completion for bash 4.3 and later. It does not need the package bash-completion. */
export const bashCompletion = (commands: readonly CompletedCommand[]): string => `\
# Completion of weave ${VERSION} for bash; 'weave completion bash' printed it.

# Names that only the running system knows, of one kind.
__weave_names() {
  case $1 in
${Object.entries(NAMES)
  .map(([kind, command]) => `    ${kind}) ${command} ;;\n`)
  .join("")}  esac
}

# The flags of a command.
__weave_flags() {
  case $1 in
${rows([["''", textsOf(FIRST_FLAGS)], ...commands.map(({ name, flags }) => [name, textsOf(flags)] as const)])}  esac
}

# The values of 'COMMAND FLAG'; fails for a switch.
__weave_values() {
  case $1 in
${commands.map(valueRows).join("")}    *) return 1 ;;
  esac
}

# The arguments of 'COMMAND COUNT' after so many others.
__weave_arguments() {
  case $1 in
    ' '*) echo '${commands.map(({ name }) => name).join(" ")}' ;;
${commands.map(argumentRows).join("")}  esac
}

${FUNCTIONS}`;

/** The part that does not depend on the commands. Names of peers and containers are never expanded: they may come from other hosts. */
const FUNCTIONS = `\
# Adds to COMPREPLY which of the candidates begin with the text.
__weave_reply() {
  local candidates=$1 text=$2 head= candidate name
  if [[ $candidates == ,* ]]; then
    [[ $text == *,* ]] && head=\${text%,*},
    candidates=\${candidates#,}
  fi
  for candidate in $candidates; do
    case $candidate in
      @file)
        compopt -o filenames 2>/dev/null
        while IFS= read -r name; do COMPREPLY+=("$name"); done < <(compgen -f -- "$text")
        ;;
      @*)
        while IFS= read -r name; do
          [[ -n $name && $name == "$text"* ]] && COMPREPLY+=("$(printf %q "$name")")
        done < <(__weave_names "\${candidate#@}")
        ;;
      *) [[ $head$candidate == "$text"* ]] && COMPREPLY+=("$head$candidate") ;;
    esac
  done
}

_weave() {
  local words=() word command= flag= count=0 ended= index current skipped IFS=$' \\t\\n'
  COMPREPLY=()
  # Bash separates words at ":" and "="; here "--log-level=debug" and "netns:red" are one word.
  for ((index = 1; index <= COMP_CWORD; index++)); do
    word=\${COMP_WORDS[index]}
    if ((\${#words[@]} > 0)) && [[ $word == [:=]* || \${words[-1]} == *[:=] ]]; then words[-1]+=$word
    else words+=("$word"); fi
  done
  current=\${words[-1]}
  unset 'words[-1]'
  for word in "\${words[@]}"; do
    if [[ -n $flag ]]; then flag=
    elif [[ -z $command ]]; then [[ $word == --local ]] || command=$word
    elif [[ -z $ended && $word == -- ]]; then ended=yes
    elif [[ -z $ended && $word == -?* ]]; then
      [[ $word == -[a-z][a-z-]* ]] && word=-$word
      [[ $word == *=* ]] || ! __weave_values "$command $word" >/dev/null || flag=$word
    else count=$((count + 1)); fi
  done
  # Bash replaces only what follows the last ":" or "=".
  skipped=\${COMP_WORDS[COMP_CWORD]}
  [[ $skipped == [:=]* ]] && skipped=
  skipped=\${current%"$skipped"}
  if [[ -n $flag ]]; then __weave_reply "$(__weave_values "$command $flag")" "$current"
  elif [[ -z $ended && $current == -*=* ]]; then
    word=\${current%%=*}
    [[ $word == -[a-z][a-z-]* ]] && word=-$word
    __weave_reply "$(__weave_values "$command $word" || echo 'true false')" "\${current#*=}"
    [[ $skipped == *=* ]] && skipped=\${skipped#*=} || COMPREPLY=("\${COMPREPLY[@]/#/\${current%%=*}=}")
  elif [[ -z $ended && $current == -* ]]; then __weave_reply "$(__weave_flags "$command")" "$current"
  else __weave_reply "$(__weave_arguments "$command $count")" "$current"; fi
  COMPREPLY=("\${COMPREPLY[@]#"$skipped"}")
}

complete -F _weave weave
`;
