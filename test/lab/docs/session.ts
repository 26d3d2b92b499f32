/** A command of a session, and the output that the page shows. */
export interface Step {
  /** Number of the host, from 1. */
  readonly host: number;
  readonly command: string;
  /** Nothing shown: any output. */
  readonly shown: readonly string[];
}

const HOST_PROMPT = /^host(\d)[#$] (.*)$/;
const PLAIN_PROMPT = /^()[#$] (.*)$/;

export const isSession = (body: string): boolean =>
  body.split("\n").some((line) => HOST_PROMPT.test(line) || PLAIN_PROMPT.test(line));

/**
 * The commands of a session in their order. A prompt names the host, `host1# `; `$ ` and `# ` alone are those of host 1, unless
 * the block has a prompt with a name: then they begin output.
 *
 * @throws Error: something stands before the first prompt
 */
export function stepsOf(body: string): Step[] {
  const lines = body.replace(/\n$/, "").split("\n");
  const prompt = lines.some((line) => HOST_PROMPT.test(line)) ? HOST_PROMPT : PLAIN_PROMPT;
  const steps: { host: number; command: string; shown: string[] }[] = [];
  for (let at = 0; at < lines.length; at++) {
    const match = prompt.exec(lines[at]);
    if (match !== null) {
      const [command, last] = wholeCommand(lines, at, match[2]);
      steps.push({ host: Number(match[1] || 1), command, shown: [] });
      at = last;
    } else if (steps.length > 0) steps.at(-1)!.shown.push(lines[at]);
    else throw new Error(`no prompt: "${lines[at]}"`);
  }
  // An empty line between two commands belongs to neither.
  for (const { shown } of steps) while (shown.at(-1) === "") shown.pop();
  return steps;
}

/** A command with the lines that continue it, after a backslash or up to the end of a here-document. */
function wholeCommand(lines: readonly string[], first: number, text: string): [command: string, last: number] {
  let [command, at] = [text, first];
  while (command.endsWith("\\") && at + 1 < lines.length) command += `\n${lines[++at]}`;
  const end = /<<'?(\w+)'?/.exec(command)?.[1];
  while (end !== undefined && lines[at] !== end && at + 1 < lines.length) command += `\n${lines[++at]}`;
  return [command, at];
}

/**
 * Whether output is what a page shows. `…` stands for any text within a line, or for any lines where it stands alone. Columns may be
 * wider or narrower, and empty lines do not count.
 */
export function matches(shown: readonly string[], output: string): boolean {
  const squeeze = (line: string) => line.trim().replace(/\s+/g, " ");
  const expected = shown.map(squeeze).filter((line) => line !== "");
  const actual = output
    .split(/\r?\n/)
    .map(squeeze)
    .filter((line) => line !== "")
    .map((line) => `${line}\n`);
  const pattern = expected.map((line) => (line === "…" ? "(?:.*\\n)*?" : `${linePattern(line)}\\n`)).join("");
  return new RegExp(`^${pattern}$`).test(actual.join(""));
}

const linePattern = (line: string): string =>
  line
    .split("…")
    .map((text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"))
    .join(".*");
