import { type ApiCall, type ApiReply, call } from "#cli/support/client.js";

/** Interval between checks of the reason of a wait, which is printed at the first check and after a change. */
const EXPLAIN_MS = 3_000;

/** Form with the time limit of a request. @param timeout in seconds; undefined for none */
export const timeoutForm = (timeout: number | undefined): URLSearchParams =>
  new URLSearchParams(timeout === undefined ? {} : { timeout: String(timeout) });

/**
 * Makes a call that may take long, and prints the reason of the wait on standard error.
 *
 * @param holder returns the holder of the requested addresses; "" to print the reasons of all waits
 */
export async function callExplainingWait(holder: () => Promise<string>, options: ApiCall): Promise<ApiReply> {
  let shown = "";
  const timer = setInterval(async () => {
    const reasons = await waitReasons(holder).catch(() => "");
    // The elapsed time in a reason is not a change.
    const gist = reasons.replace(/\(for [^)]*\)/g, "");
    if (gist === "" || gist === shown) return;
    shown = gist;
    process.stderr.write(reasons);
  }, EXPLAIN_MS);
  try {
    return await call(options);
  } finally {
    clearInterval(timer);
  }
}

async function waitReasons(holder: () => Promise<string>): Promise<string> {
  const ident = await holder();
  const { status, body } = await call({
    path: `/ipinfo/waiting?${new URLSearchParams(ident === "" ? {} : { ident })}`,
  });
  return status === 200 ? body : "";
}
