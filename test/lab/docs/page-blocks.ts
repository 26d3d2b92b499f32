/**
 * The fenced blocks of a page, and what the tests do with each. In the page's source, before a block:
 *
 * - nothing: the block is a session, and its commands are run
 * - `<!-- not run: REASON -->`: a session that cannot be run by a test
 * - `<!-- shown: REASON -->`: no session: a diagram, a format, output alone
 * - `<!-- file: host1 host2 PATH -->`: the content of a file of these hosts; ` = PATH` behind it: and of that file of the project
 *
 * Below the title, `<!-- tested: 2 hosts with Docker; images: alpine, nginx -->` states where the sessions run.
 */

export interface Block {
  /** Of its first fence, from 1. */
  readonly line: number;
  /** What follows the first fence. */
  readonly label: string;
  readonly body: string;
  readonly mark: Mark | undefined;
}

export interface Mark {
  readonly kind: "not run" | "shown" | "file";
  /** Reason, or hosts and path. */
  readonly text: string;
}

/** Where the sessions of a page run. */
export interface PageSetup {
  readonly hosts: number;
  readonly docker: boolean;
  /** Names of test images that the engines have, beside `busybox`. */
  readonly images: readonly string[];
  /** The page is run by `npm run test:packaging`, as it takes long; by `npm test` otherwise. */
  readonly slow: boolean;
}

const MARK = /^<!-- (not run|shown|file): (.+) -->$/;
const SETUP = /^<!-- tested: (\d) hosts?( with Docker)?(?:; images: ([\w:.,/ -]+?))?(; slow)? -->$/m;

export function blocksOf(text: string): Block[] {
  const lines = text.split("\n");
  const found: Block[] = [];
  for (let at = 0; at < lines.length; at++) {
    if (!lines[at].startsWith("```")) continue;
    const end = lines.indexOf("```", at + 1);
    if (end === -1) throw new Error(`the block of line ${at + 1} has no end`);
    const body = lines.slice(at + 1, end).map((line) => `${line}\n`);
    found.push({ line: at + 1, label: lines[at].slice(3), body: body.join(""), mark: markBefore(lines, at) });
    at = end;
  }
  return found;
}

/** The comment before a block; empty lines may lie between. */
function markBefore(lines: readonly string[], at: number): Mark | undefined {
  let before = at - 1;
  while (before >= 0 && lines[before].trim() === "") before--;
  const match = MARK.exec(lines[before] ?? "");
  return match === null ? undefined : { kind: match[1] as Mark["kind"], text: match[2] };
}

/** The set-up that a page states; undefined for a page without sessions that are run. */
export function setupOf(text: string): PageSetup | undefined {
  const match = SETUP.exec(text);
  if (match === null) return undefined;
  const [, hosts, docker, images, slow] = match;
  return {
    hosts: Number(hosts),
    docker: docker !== undefined,
    images: images?.split(", ") ?? [],
    slow: slow !== undefined,
  };
}

export interface FileMark {
  /** Numbers of the hosts. */
  readonly hosts: readonly number[];
  readonly path: string;
  /** The file of the project that has the same content, if any. */
  readonly same: string | undefined;
}

export function fileOf({ text }: Mark): FileMark {
  const [target, same] = text.split(" = ");
  const words = target.split(" ");
  const path = words.pop()!;
  const hosts = words.map((word) => Number(/^host(\d)$/.exec(word)?.[1]));
  if (hosts.length === 0 || hosts.some(Number.isNaN)) throw new Error(`"file: ${text}" is not "file: host1 PATH"`);
  return { hosts, path, same };
}
