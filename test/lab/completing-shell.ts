import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { completionFor } from "#cli/completion/scripts.js";
import type { Shell } from "#cli/support/command-table.js";
import { execute } from "#test/lab/namespace.js";

/** Limit for one shell with all its lines: far above what a busy machine takes. */
const SHELL_MS = 120_000;

/** Starts zsh's completion. */
export const COMPINIT = "autoload -Uz compinit; compinit -u -D";

/** An interactive shell, and the keys that put all completions into the line. */
interface Interactive {
  readonly command: string;
  /** The keys that put all completions into the line. */
  readonly keys: string;
  /** Shell code before the completion is loaded, and after it. */
  readonly before: string;
  readonly after: string;
}

const INTERACTIVE: Readonly<Record<"bash" | "zsh", Interactive>> = {
  bash: { command: "bash --norc --noprofile -i", keys: "\x1b*", before: "", after: "" },
  zsh: {
    command: "zsh -f -i",
    keys: "\x18a",
    before: COMPINIT,
    // Without the first line zsh has the keys of vi where EDITOR names vi, as in the scripts that npm runs.
    after: `bindkey -e
zle -C all-matches complete-word _generic
bindkey '^Xa' all-matches
zstyle ':completion:all-matches::::' completer _all_matches _complete
zstyle ':completion:all-matches:*' insert true
zstyle ':completion:*:all-matches' old-matches only`,
  },
};

export interface CompletionOptions {
  /** Set in the shell's environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** The command that runs a command elsewhere: in a network namespace, say. */
  readonly inside?: (...command: string[]) => readonly string[];
  /** Shell code that loads the completion, instead of the script that `weave completion` prints. Not for fish. */
  readonly load?: string;
}

/**
 * What a real shell offers at the end of each line, without the word that is completed where nothing fits.
 *
 * @param lines such as `weave status c`
 */
export async function completions(
  shell: Shell,
  lines: readonly string[],
  options: CompletionOptions = {},
): Promise<string[][]> {
  const folder = mkdtempSync(join(tmpdir(), "weave-completion-"));
  try {
    const script = join(folder, "script");
    writeFileSync(script, completionFor(shell));
    return shell === "fish"
      ? await offeredByFish(script, lines, options)
      : await insertedBy(INTERACTIVE[shell], folder, lines, options);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const here = (...command: string[]): readonly string[] => command;

/** Ends the output of one line. */
const END = "-- end --";

async function offeredByFish(script: string, lines: readonly string[], { env, inside = here }: CompletionOptions) {
  const calls = lines.map((line) => `complete -C '${line}'; echo '${END}'`);
  const [file, ...args] = inside("fish", "--no-config", "-c", [`source ${script}`, ...calls].join("\n"));
  const { code, stdout, stderr } = await execute(file, args, env, SHELL_MS);
  if (code !== 0 || stderr !== "") throw new Error(`fish: status ${code}\n${stderr}`);
  return stdout
    .split(`${END}\n`)
    .slice(0, -1)
    .map((text) =>
      text
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => line.split("\t")[0]),
    );
}

/** Types each line and the keys in an interactive shell; then the line is stored as the shell reads it, instead of run. */
async function insertedBy(
  { command, keys, before, after }: Interactive,
  folder: string,
  lines: readonly string[],
  { env, inside = here, load }: CompletionOptions,
): Promise<string[][]> {
  const [start, stored] = [join(folder, "start"), join(folder, "stored")];
  writeFileSync(stored, "");
  writeFileSync(
    start,
    `${load ?? `${before}\nsource ${join(folder, "script")}`}
${after}
kept() { printf '%s\\n' "$@" '${END}' >>${stored}; }\n`,
  );
  // Completed as a line of `weave`, then run as arguments of `kept`.
  const typed = lines.map((line) => `${line}${keys}\x01kept \r`).join("");
  await interact(inside("script", "-qec", command, "/dev/null"), `source ${start}\r${typed}exit\r`, env);
  const results = readFileSync(stored, "utf8").split(`${END}\n`).slice(0, -1);
  if (results.length !== lines.length) throw new Error(`${results.length} lines of ${lines.length} were completed`);
  return results.map((text, at) => {
    const given = lines[at].split(" ");
    const words = text.split("\n").slice(given.length - 1, -1);
    return words.filter((word) => word !== given.at(-1) && word !== "");
  });
}

/** Runs a program on a terminal of its own, with keys that are typed ahead. */
function interact(
  [file, ...args]: readonly string[],
  keys: string,
  env: Readonly<Record<string, string>> = {},
): Promise<void> {
  const child = spawn(file, args, {
    stdio: ["pipe", "ignore", "ignore"],
    env: { ...process.env, INPUTRC: "/dev/null", TERM: "dumb", ...env },
    timeout: SHELL_MS,
    killSignal: "SIGKILL",
  });
  child.stdin.end(keys);
  return new Promise((resolve, reject) => child.once("close", () => resolve()).once("error", reject));
}
