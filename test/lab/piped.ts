import { spawn } from "node:child_process";
import type { Result } from "#test/lab/namespace.js";

/**
 * Runs a program that reads its standard input, which it need not do to its end.
 *
 * @returns its exit status is -1 if a signal has ended it
 * @throws Error: the program cannot be started
 */
export function piped(
  [file, ...args]: readonly string[],
  env: NodeJS.ProcessEnv,
  input: string | Buffer,
): Promise<Result> {
  const child = spawn(file, args, { env, stdio: "pipe", timeout: 60_000, killSignal: "SIGKILL" });
  const output = { stdout: "", stderr: "" };
  for (const stream of ["stdout", "stderr"] as const)
    child[stream].on("data", (bytes) => {
      output[stream] += bytes;
    });
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ code: code ?? -1, ...output }));
  });
}
