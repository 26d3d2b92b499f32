import { WeaveError } from "#src/errors.js";
import { errno, errnoName, libc } from "#src/linux/native/libc.js";

// asm-generic/ioctls.h
const FIONCLEX = 0x5450;
const STANDARD_FDS = [0, 1, 2];

/** Ends this process immediately (_exit(2)). `process.exit` would wait for all threads, which may block in system calls. */
export function exitNow(status: number): never {
  libc._exit(status);
  throw new Error("_exit returned");
}

/**
 * Replaces this program by another one in the same process (execve(2)). Other users of the host can read the arguments.
 *
 * @throws WEAVE_NATIVE when the program cannot be run; this one then continues
 */
export function replaceProcess(file: string, args: readonly string[], env: NodeJS.ProcessEnv): never {
  // Node marks the standard descriptors close-on-exec.
  for (const fd of STANDARD_FDS) libc.ioctl(fd, FIONCLEX, 0);
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value ?? ""}`);
  libc.execve(file, [file, ...args, null], [...variables, null]);
  throw new WeaveError("WEAVE_NATIVE", `cannot run ${file}: ${errnoName(errno())}`);
}
