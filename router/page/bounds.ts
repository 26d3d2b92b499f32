import { shortLine } from "#src/text.js";

/** Maximum numbers of entries in the document of the page. A browser shows them without delay; the commands have all. */
export const MAX_PAGE_PEERS = 2_000;
export const MAX_PAGE_LINKS = 10_000;
export const MAX_PAGE_ROWS = 2_000;
export const MAX_PAGE_FAULTS = 100;
/** Addresses of one holder, names of one list in a sentence. */
export const MAX_PAGE_ITEMS = 16;

/** Maximum characters of a name or an address, and of a sentence. */
const MAX_WORD = 128;
const MAX_SENTENCE = 512;

/** A name of a peer, a container or a host as the page shows it. */
export const pageWord = (text: string): string => shortLine(text, MAX_WORD);

/** A sentence as the page shows it, which may contain names. */
export const pageSentence = (text: string): string => shortLine(text, MAX_SENTENCE);

/** The first entries of a list, and the number of the others. */
export function pageRows<T>(
  all: readonly T[],
  max = MAX_PAGE_ROWS,
): { readonly list: readonly T[]; readonly left: number } {
  return { list: all.slice(0, max), left: Math.max(0, all.length - max) };
}
