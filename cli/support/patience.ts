import { type ApiCall, type ApiReply, call } from "#cli/support/client.js";

/** A user who waits is shown the reason after this long, and again when it changes. */
const EXPLAIN_MS = 3_000;

/** @param timeout in seconds; undefined: no limit */
export const timeoutForm = (timeout: number | undefined): URLSearchParams =>
  new URLSearchParams(timeout === undefined ? {} : { timeout: String(timeout) });

/**
 * A call that may take long: prints the reason of the wait on standard error.
 *
 * @param holder finds the holder of the addresses that are waited for; "" for all waits
 */
export async function callExplainingWait(holder: () => Promise<string>, options: ApiCall): Promise<ApiReply> {
  let shown = "";
  const timer = setInterval(async () => {
    const reasons = await waitReasons(holder).catch(() => "");
    // The time that has passed is no news.
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
