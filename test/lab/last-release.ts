import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "#test/lab/docs/pages.js";

/** The last release, for tests of mixed versions, with protocol 1. It has no tag yet: its commit stands for it. */
const LAST_RELEASE = "26155b6";

function run(cwd: string, ...command: readonly string[]): { code: number | null; output: string } {
  const [file, ...args] = command;
  const { status, stdout, stderr } = spawnSync(file, args, { cwd, encoding: "utf8" });
  return { code: status, output: `${stdout}${stderr}` };
}

/** Why the last release cannot be built here; undefined where it can. */
export function lastReleaseMissing(): string | undefined {
  const { code } = run(ROOT, "git", "cat-file", "-e", `${LAST_RELEASE}^{commit}`);
  return code === 0 ? undefined : `needs commit ${LAST_RELEASE}, which a shallow clone lacks (git fetch --unshallow)`;
}

/** A build of the last release in a folder of its own; it uses the packages of this tree. */
export class LastRelease {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** @throws Error when it cannot be built */
  static build(): LastRelease {
    const folder = mkdtempSync(join(tmpdir(), "weave-last-release-"));
    try {
      const files = run(folder, "sh", "-c", `git -C "${ROOT}" archive ${LAST_RELEASE} | tar -x`);
      symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
      const built = run(folder, process.execPath, "node_modules/typescript/bin/tsc", "-p", ".");
      if (files.code !== 0 || built.code !== 0) throw new Error(`cannot build it: ${files.output}${built.output}`);
      return new LastRelease(folder);
    } catch (error) {
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  /** The start of its `weave` command. */
  get command(): readonly string[] {
    return [join(this.#folder, "bin/weave")];
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
