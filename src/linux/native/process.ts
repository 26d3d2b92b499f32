import { WeaveError } from "#src/errors.js";
import { errno, errnoName, libc } from "#src/linux/native/libc.js";

/** linux: asm-generic/ioctls.h. */
const FIONCLEX = 0x5450;
const STANDARD_FDS = [0, 1, 2];

/** Ends this process at once (_exit(2)), whatever its threads wait for; `process.exit` waits for each of them. */
export function exitNow(status: number): never {
  libc._exit(status);
  throw new Error("_exit returned");
}

/**
 * Runs another program in place of this one, as the same process (execve(2)). Other users of the host may read its arguments
 * and environment.
 *
 * @throws WEAVE_NATIVE when the program cannot be run; this one then goes on
 */
export function replaceProcess(file: string, args: readonly string[], env: NodeJS.ProcessEnv): never {
  // Node marks them close-on-exec.
  for (const fd of STANDARD_FDS) libc.ioctl(fd, FIONCLEX, 0);
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value ?? ""}`);
  libc.execve(file, [file, ...args, null], [...variables, null]);
  throw new WeaveError("WEAVE_NATIVE", `cannot run ${file}: ${errnoName(errno())}`);
}
