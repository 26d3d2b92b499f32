import { call } from "#cli/support/client.js";
import { controlSocket, paths } from "#src/paths.js";

/** Limit for the router's answer, which itself waits 5 s at most for the engine. */
const ANSWER_MS = 7_000;

/**
 * Returns when Docker's network `weave` exists, so that the next command of a script can use it. Not while the engine does not answer:
 * at boot it may start after the router.
 */
export async function waitForDocker(): Promise<void> {
  const address = controlSocket(paths().run);
  // Without Docker there is no such call; another failure is shown by the next command.
  await call({ path: "/docker/network", address, answerMs: ANSWER_MS }).catch(() => undefined);
}
