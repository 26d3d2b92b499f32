/*
 * Where secrets end that begin at an index of a text. Each function goes forward only, and looks at a character a fixed number of times:
 * a log can have a line of megabytes.
 */

/** Longest user and password in an address that are looked for. */
const MAX_USER = 512;

/** Whether the rest of a text after a quote is what follows a string in JSON. */
const AFTER_STRING = /[ \t]{0,8}(?:[,:}\]\r\n]|$)/y;

/** Finds the end of a string whose opening quote is before `at`; a newline ends it, too. */
export function stringEnd(text: string, at: number, quote = '"'): number {
  for (let i = at; i < text.length; i++) {
    if (text[i] === quote || text[i] === "\n") return i;
    if (text[i] === "\\" && quote === '"' && text[i + 1] !== "\n") i++;
  }
  return text.length;
}

/** The same for a string in a string of JSON, which begins and ends with `\"`: its own escapes have two backslashes. */
export function innerStringEnd(text: string, at: number): number {
  for (let i = at; i < text.length; i++) {
    if (text[i] === '"' || text[i] === "\n") return i;
    if (text[i] !== "\\") continue;
    if (text[i + 1] !== "\\") {
      if (text[i + 1] === '"') return i;
      i++;
      continue;
    }
    // An escape of the inner string: its backslash takes two characters, and so can what follows.
    i += text[i + 2] === "\\" ? 3 : 2;
  }
  return text.length;
}

/**
 * Finds the end of a word of a shell: quotes and backslashes join what they enclose. A quote that ends a string of JSON in which the word is
 * ends the word.
 */
export function wordEnd(text: string, at: number): number {
  let i = at;
  while (i < text.length && !/\s/.test(text[i])) {
    const c = text[i];
    if (c === "\\") {
      const inner = text[i + 1] === '"' ? innerStringEnd(text, i + 2) : -1;
      // An escaped quote that no other one follows is a character of the word.
      i = inner !== -1 && text[inner] === "\\" ? inner + 2 : i + 2;
    } else if (c === '"' || c === "'") {
      AFTER_STRING.lastIndex = i + 1;
      if (c === '"' && i > at && AFTER_STRING.test(text)) return i;
      const end = stringEnd(text, i + 1, c);
      i = text[end] === c ? end + 1 : end;
    } else i++;
  }
  return Math.min(i, text.length);
}

/** Finds the end of a line, with the lines that a backslash joins to it. */
export function lineEnd(text: string, at: number): number {
  for (let from = at; ; ) {
    const end = text.indexOf("\n", from);
    if (end === -1) return text.length;
    if (text[end - 1] !== "\\" || end === at) return end;
    from = end + 1;
  }
}

/** Finds the end of a header: of its line, or of the string in which it is. */
export function headerEnd(text: string, at: number): number {
  let i = at;
  while (i < text.length && !'\r\n"'.includes(text[i])) i++;
  return i;
}

/** Finds the end of a private key in PEM; without its last line it is the end of the text. */
export function pemEnd(text: string, at: number): number {
  const last = /-----END [A-Z ]{0,40}PRIVATE KEY-----/g;
  last.lastIndex = at;
  return last.exec(text) === null ? text.length : last.lastIndex;
}

/** Finds the end of user and password in an address that begins at `at`, with the last `@`; `at`: there are none. */
export function userEnd(text: string, at: number): number {
  const [address] = /^[^\s"<>]*/.exec(text.slice(at, at + MAX_USER))!;
  const [authority] = /^[^/?#]*/.exec(address)!;
  if (authority.includes("@")) return at + authority.lastIndexOf("@") + 1;
  // A slash in a password: what is before it is no port.
  const isHost = !authority.includes(":") || /^[^:]*:\d{0,5}$/.test(authority) || authority.startsWith("[");
  return isHost ? at : at + address.lastIndexOf("@") + 1;
}
