/**
 * The fenced blocks of a page, and what the tests do with each. In the page's source, before a block:
 *
 * - nothing: the block is a session, and its commands are run
 * - `<!-- not run: REASON -->`: a session that cannot be run by a test
 * - `<!-- shown: REASON -->`: no session: a diagram, a format, output alone
 * - `<!-- file: host1 host2 PATH -->`: the content of a file of these hosts; ` = PATH` behind it: and of that file of the project
 *
 * `<!-- tested: 2 hosts with Docker; images: alpine, nginx -->` states where the sessions below it run, up to the next such comment. With
 * `a release` the hosts have no weave, and the files of a release in the folder `release`; with `two releases` those of a later one are in
 * `next`; with `systemd` it is their first process; with `Podman` they have its service, and no Docker engine.
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

/** Where the sessions of a part of a page run. */
export interface PageSetup {
  readonly hosts: number;
  readonly features: readonly Feature[];
  /** Names of test images that the engines have, beside `busybox`. */
  readonly images: readonly string[];
  /** They are run by `npm run test:packaging`, as they take long; by `npm test` otherwise. */
  readonly slow: boolean;
}

export type Feature = "Docker" | "Podman" | "a release" | "two releases" | "systemd";

/** A part of a page: its sessions run one after another on the same hosts. */
export interface Scenario {
  /** Of the comment, from 1; 0: blocks above the first one. */
  readonly line: number;
  /** Undefined: no session here is run. */
  readonly setup: PageSetup | undefined;
  readonly blocks: readonly Block[];
}

const MARK = /^<!-- (not run|shown|file): (.+) -->$/;
const SETUP =
  /^<!-- tested: (\d) hosts?(?: with ((?:Docker|Podman|a release|two releases|systemd)(?: and (?:Docker|Podman|a release|two releases|systemd))*))?(?:; images: ([\w:.,/ -]+?))?(; slow)? -->$/;

/** @throws Error: a block has no end, or a comment "tested" has another form */
export function scenariosOf(text: string): Scenario[] {
  const lines = text.split("\n");
  const found: { line: number; setup: PageSetup | undefined; blocks: Block[] }[] = [
    { line: 0, setup: undefined, blocks: [] },
  ];
  for (let at = 0; at < lines.length; at++) {
    if (lines[at].startsWith("<!-- tested")) found.push({ line: at + 1, setup: setupOf(lines[at]), blocks: [] });
    if (!lines[at].startsWith("```")) continue;
    const end = lines.indexOf("```", at + 1);
    if (end === -1) throw new Error(`the block of line ${at + 1} has no end`);
    const body = lines.slice(at + 1, end).map((line) => `${line}\n`);
    found.at(-1)!.blocks.push({
      line: at + 1,
      label: lines[at].slice(3),
      body: body.join(""),
      mark: markBefore(lines, at),
    });
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

function setupOf(comment: string): PageSetup {
  const match = SETUP.exec(comment);
  if (match === null) throw new Error(`no such form: ${comment}`);
  const [, hosts, features, images, slow] = match;
  return {
    hosts: Number(hosts),
    features: (features?.split(" and ") ?? []) as Feature[],
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

/** @throws Error: the mark has another form */
export function fileOf({ text }: Mark): FileMark {
  const [target, same] = text.split(" = ");
  const words = target.split(" ");
  const path = words.pop()!;
  const hosts = words.map((word) => Number(/^host(\d)$/.exec(word)?.[1]));
  if (hosts.length === 0 || hosts.some(Number.isNaN)) throw new Error(`"file: ${text}" is not "file: host1 PATH"`);
  return { hosts, path, same };
}
