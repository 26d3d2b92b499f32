import { readFileSync, realpathSync } from "node:fs";
import { libc } from "#src/linux/native/libc.js";

/** madvise(2) */
const MADV_DONTNEED = 4;

/** A part of the address space: from `start` on, in bytes. */
export interface Mapping {
  readonly start: number;
  readonly bytes: number;
}

/** The first line of a mapping in /proc/PID/smaps (proc(5)): private, and not writable. */
const UNWRITABLE = /^([0-9a-f]+)-([0-9a-f]+) r-[x-]p \S+ \S+ \S+ +(.*)$/;

/** Some distributions have Node.js in a library, and a program that only starts it. */
const SHARED_NODE = /\/libnode\.so[.\d]*$/;

/**
 * Returns the mappings of Node.js that have no page of this process's own. Others have pages that the dynamic linker has changed before it took
 * the right to write: they exist nowhere else. Nothing else is chosen: other libraries may be loaded at the same time, by other threads.
 *
 * @param smaps content of /proc/PID/smaps
 * @param program path of Node.js
 */
export function unchangedMappings(smaps: string, program: string): Mapping[] {
  const found: Mapping[] = [];
  for (const block of smaps.split(/\n(?=[0-9a-f]+-)/)) {
    const [, start, end, name] = UNWRITABLE.exec(block.slice(0, block.indexOf("\n"))) ?? [];
    if (
      (name !== program && !SHARED_NODE.test(name ?? "")) ||
      !/^Anonymous: +0 kB$/m.test(block) ||
      !/^Swap: +0 kB$/m.test(block)
    )
      continue;
    found.push({ start: Number.parseInt(start, 16), bytes: Number.parseInt(end, 16) - Number.parseInt(start, 16) });
  }
  return found;
}

/**
 * Removes the pages of Node.js's program from this process's memory: a start needs most of them, and later few. One that is needed again is read
 * from the kernel's cache, some microseconds each for the first time. The cache itself is the kernel's, which takes it for other purposes
 * sooner when no process has it mapped.
 */
export function releaseProgramPages(): void {
  const program = realpathSync(process.execPath);
  for (const { start, bytes } of unchangedMappings(readFileSync("/proc/self/smaps", "utf8"), program))
    libc.madvise(start, bytes, MADV_DONTNEED);
}
