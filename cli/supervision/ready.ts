import { setTimeout as sleep } from "node:timers/promises";
import { call } from "#cli/support/client.js";
import { Exit } from "#cli/support/exit.js";
import { progress } from "#cli/support/progress.js";
import { asSentence } from "#cli/support/supervised.js";
import { controlSocket, launchingFile, paths } from "#src/paths.js";
import { removePid } from "#src/pid-file.js";

/** Interval between checks whether the router answers. */
const POLL_MS = 10;
/** Limit for the start of the router: above the 21 s of an emulated machine. A router that takes longer hangs. */
const READY_MS = 60_000;
/** Limit for one check. A starting router may leave a request unanswered. */
const ANSWER_MS = 1_000;
/** Exit statuses after a signal, as shells define them: 128 and the signal's number. */
const INTERRUPTED = { SIGINT: 130, SIGTERM: 143 } as const;

export interface Waiting {
  /** Describes what starts, for a user who no longer waits: `process 17`. */
  readonly what: string;
  readonly logHint: string;
  /** Why the start has failed; undefined while it may still succeed. */
  readonly failure: () => string | undefined | Promise<string | undefined>;
  /** False while a router that answers may be the one before; always true by default. */
  readonly isStarted?: () => boolean;
}

/** Waits until the router answers. A signal ends the waiting, not the start. @throws Exit, with the router's own error if it cannot start */
export async function waitUntilReady(waiting: Waiting): Promise<void> {
  const { what } = waiting;
  const runDir = paths().run;
  const stillStarting = `It continues to start in the background (${what}): 'weave status' shows it, 'weave stop' ends it.`;
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => {
      process.stderr.write(`No longer waiting for the router.\n${stillStarting}\n`);
      removePid(launchingFile(runDir));
      process.exit(INTERRUPTED[signal]);
    });
  await progress(`waiting until the router answers (${what})`, () => untilAnswer(waiting, stillStarting));
}

async function untilAnswer(
  { logHint, failure, isStarted = () => true }: Waiting,
  stillStarting: string,
): Promise<void> {
  const deadline = Date.now() + READY_MS;
  for (;;) {
    if (isStarted() && (await isReady())) return;
    const why = await failure();
    if (why !== undefined) throw new Exit(1, why);
    if (Date.now() > deadline)
      throw new Exit(
        1,
        `The router has not answered within ${READY_MS / 1_000} s.\n${stillStarting}\n${asSentence(logHint)}`,
      );
    await sleep(POLL_MS);
  }
}

/** Whether the router answers. */
async function isReady(): Promise<boolean> {
  const reply = await call({ path: "/status", address: controlSocket(paths().run), answerMs: ANSWER_MS }).catch(
    () => undefined,
  );
  return reply?.status === 200;
}
