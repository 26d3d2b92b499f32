/** The parts of roff that the man page uses: macros of man(7), which groff and mandoc read alike. */

/** Characters with a meaning in roff, and those that some terminals would get as another character. */
const ESCAPES: Readonly<Record<string, string>> = {
  "\\": "\\e",
  "'": "\\(aq",
  "`": "\\(ga",
  '"': "\\(dq",
  "^": "\\(ha",
  "~": "\\(ti",
};

/** A text, in which roff finds no commands. A hyphen stays a hyphen: lines may break after it. */
function text(words: string): string {
  return words
    .replace(/[\\'`"^~]/g, (char) => ESCAPES[char])
    .replace(/[^\n -~]/gu, (char) => `\\[u${char.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}]`);
}

/** A text that a user types or copies: its dashes are the minus signs of the keyboard. */
export const literal = (words: string): string => text(words).replaceAll("-", "\\-");

export const bold = (words: string): string => `\\fB${literal(words)}\\fR`;

/** Longest line of the page's source. mandoc warns of longer ones. */
const WIDTH = 80;

/** Breaks a line at its spaces. A line never begins with the sign of a macro. */
function broken(line: string): string {
  const lines: string[] = [];
  for (const word of line.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= WIDTH) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word.startsWith(".") ? `\\&${word}` : word);
  }
  return lines.join("\n");
}

/** Flags, variables and quoted commands in a sentence. */
const TYPED = /(?<![\w-])--[a-z][\w-]*|\b[A-Z]+_[A-Z_]+\b|'weave [^']*'/g;

/** A sentence, in which words that a user types are bold. */
export function prose(words: string): string {
  let [result, end] = ["", 0];
  for (const match of words.matchAll(TYPED)) {
    result += text(words.slice(end, match.index)) + bold(match[0].replace(/^'|'$/g, ""));
    end = match.index + match[0].length;
  }
  return broken(result + text(words.slice(end)));
}

/** A usage or flag: words in angle brackets are values, all others are typed as they are. */
export const usage = (words: string): string =>
  words
    .split(/(<[^>]*>)/)
    .filter((part) => part !== "")
    .map((part) => (part.startsWith("<") ? `\\fI${literal(part.slice(1, -1))}\\fR` : bold(part)))
    .join("");

export const section = (title: string, ...body: readonly string[]): string => `.SH ${title}\n${body.join("")}`;
export const subsection = (title: string, ...body: readonly string[]): string =>
  `.SS ${literal(title)}\n${body.join("")}`;
export const paragraph = (words: string): string => `.PP\n${words}\n`;

/** A term in the margin, and its meaning. @param body roff; further lines may be macros */
export const tagged = (term: string, body: string): string => `.TP\n${term}\n${body.trimEnd()}\n`;

/** Paragraphs in the indent of the term before. */
export const indented = (body: string): string => (body === "" ? "" : `.RS\n${body}.RE\n`);

/** Lines as they are typed. */
export const example = (lines: readonly string[]): string =>
  `.PP\n.EX\n${lines.map((line) => `${literal(line).replace(/^(?=\.)/, "\\&")}\n`).join("")}.EE\n`;
