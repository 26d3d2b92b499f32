import { printDocument } from "#cli/json/document.js";
import { callJson, REPORT_MS } from "#cli/support/client.js";
import { runningProcesses } from "#cli/support/processes.js";
import { readFlags } from "#cli/support/read-flags.js";
import type { AttachmentListing } from "#router/attachments/listing.js";
import { WeaveError } from "#src/errors.js";
import { controlSocket, paths } from "#src/paths.js";
import { requireRoot } from "#src/root.js";

/** Number of digits of an id that are printed. Same as Weave Net. */
const ID_LENGTH = 12;

/** `weave ps [container…]`: prints the interfaces on the bridge and their addresses. A container that is not attached has no line. */
export async function run(args: readonly string[]): Promise<void> {
  requireRoot();
  const { values, words } = readFlags("ps", args);
  const { attachments, missing } = await list(words);
  if (values.json)
    return printDocument("ps", {
      Attachments: attachments.map(({ id, mac, addresses }) => ({ Id: id, Mac: mac, Addresses: addresses })),
      Missing: missing.map(({ id, why }) => ({ Id: id, Why: why })),
    });
  for (const { id, mac, addresses } of attachments)
    process.stdout.write(`${[id.slice(0, ID_LENGTH), mac, ...addresses].join(" ")}\n`);
  // The status stays 0: scripts for Weave Net list containers that may have ended.
  for (const { why } of missing) process.stderr.write(`${why}\n`);
}

/**
 * Requests the list from this host's router, whatever `WEAVE_HTTP_ADDR` is. If the router has ended or hangs, this process inspects the host:
 * containers stay attached without a router.
 */
async function list(words: readonly string[]): Promise<AttachmentListing> {
  if (runningProcesses().router === undefined) return withoutRouter(words);
  const query = new URLSearchParams(words.map((word): [string, string] => ["id", word]));
  try {
    return await callJson({
      path: `/attachments?${query}`,
      address: controlSocket(paths().run),
      answerMs: REPORT_MS,
    });
  } catch (error) {
    if (error instanceof WeaveError && error.code === "WEAVE_NOT_RUNNING") return withoutRouter(words);
    throw error;
  }
}

const withoutRouter = async (words: readonly string[]): Promise<AttachmentListing> =>
  (await import("#cli/support/without-router.js")).listWithoutRouter(words);
