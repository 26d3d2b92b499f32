/**
 * Estimated bits below which a password is weak. CPace allows no guesses without a handshake, and hosts slow guesses to about 20,000 a
 * day in all (mesh/connection/password-guesses.ts): ten years of them find one of 2^36 passwords with a probability of a thousandth.
 */
export const WEAK_BELOW_BITS = 36;

/** Characters that are looked at: the rest of a longer password adds no bits. */
const LOOKED_AT = 256;
/** Bits of a common word, in whatever capitals. */
const WORD_BITS = 9;
/** Bits of a character that repeats the one before, or continues a row such as `abc` or `321`. */
const PREDICTABLE_BITS = 1;
/** Letters of one kind are mostly parts of words: fewer bits than the 4.7 of random ones. */
const LETTER_BITS = 3.3;

/** Common passwords, and words that come to mind at an installation of weave. */
const WORDS =
  /password|passwort|passw0rd|secret|weave|docker|container|swarm|kubernetes|network|overlay|cluster|admin|root|user|guest|login|welcome|letmein|changeme|default|master|server|qwerty|qwertz|asdf|iloveyou|dragon|monkey|sunshine|princess|football|baseball|hunter|shadow|superman|batman|test|demo|example|foobar|hello|hallo|summer|winter|spring|autumn|monday|friday/g;

/** Estimates the bits of a password, by simple means: an upper bound for passwords that people choose. Time grows with its length. */
export function passwordBits(password: string): number {
  const text = [...password.normalize("NFC")].slice(0, LOOKED_AT).join("");
  const words = text.toLowerCase().match(WORDS) ?? [];
  const rest = [...shortestPeriod(text.toLowerCase() === text ? text.replace(WORDS, "") : withoutWords(text))];
  const codes = rest.map((character) => character.codePointAt(0)!);
  const letters =
    rest.every((character) => /[a-z]/.test(character)) || rest.every((character) => /[A-Z]/.test(character));
  const each = letters ? LETTER_BITS : Math.log2(alphabetOf(rest));
  const bits = codes.map((code, i) => (i > 0 && Math.abs(code - codes[i - 1]) <= 1 ? PREDICTABLE_BITS : each));
  return bits.reduce((sum, one) => sum + one, words.length * WORD_BITS);
}

/** Describes a weak password and the remedy; undefined for any other. */
export function passwordWeakness(password: string): string | undefined {
  const bits = Math.floor(passwordBits(password));
  if (bits >= WEAK_BELOW_BITS) return undefined;
  return `weak: about ${bits} bits, and ${WEAK_BELOW_BITS} are the least that withstand guesses over the network; 'openssl rand -base64 18' makes one of 144`;
}

/** Removes common words in whatever capitals. */
function withoutWords(text: string): string {
  const lower = text.toLowerCase();
  // Characters of which the lower case has another length move the words: the text stays as it is.
  if (lower.length !== text.length) return text;
  let kept = "";
  let at = 0;
  for (const { index, 0: word } of lower.matchAll(WORDS)) {
    kept += text.slice(at, index);
    at = index + word.length;
  }
  return kept + text.slice(at);
}

/** Returns the part of which a text is a repetition; the text itself if it is none. */
function shortestPeriod(text: string): string {
  const period = `${text}${text}`.indexOf(text, 1);
  return text.slice(0, period);
}

/** Number of characters from which these are chosen. */
function alphabetOf(characters: readonly string[]): number {
  const has = (pattern: RegExp) => characters.some((character) => pattern.test(character));
  const sizes = [
    has(/[a-z]/) && 26,
    has(/[A-Z]/) && 26,
    has(/[0-9]/) && 10,
    has(/[ -/:-@[-`{-~]/) && 33,
    has(/[^ -~]/) && 100,
  ];
  return sizes.reduce<number>((sum, size) => sum + (size || 0), 0) || 1;
}
