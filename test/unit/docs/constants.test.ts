import assert from "node:assert/strict";
import { test } from "node:test";
import { DIAL_RETRY, LONGEST_DIAL_RETRY_MS } from "#mesh/dialling/schedule.js";
import { REFUSAL_SHOWN_MS } from "#mesh/refusals.js";
import { CAPTURE_RANGES } from "#router/capture/capture-call.js";
import { page } from "#test/lab/docs/pages.js";
import { constant } from "#test/lab/docs/sources.js";

/** Figures that the pages give, and the constants of the sources that they stand for. */

/** What one unit is in that of the constant: milliseconds for times, bytes for sizes. */
const UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  min: 60_000,
  minutes: 60_000,
  h: 3_600_000,
  bytes: 1,
  B: 1,
  KB: 1_024,
  MB: 1 << 20,
  bits: 1,
  "": 1,
};

/** Page, a phrase of it with the figure in braces, the constant (its name, or the value of one that is computed); and how many of the constant's units the figure's unit has, where UNITS is wrong. */
const FIGURES: readonly (readonly [page: string, phrase: string, from: string | number, unit?: number])[] = [
  ["docs/protocol.md", "a window of {8,192} counters", "WINDOW"],
  ["docs/protocol.md", "most {65,664} bytes", "MAX_RECORD"],
  ["docs/protocol.md", "chunks of {64,000} bytes", "CHUNK_BYTES"],
  ["docs/protocol.md", "A message has at most {10} MB", "MAX_MESSAGE_BYTES", 1 << 20],
  ["docs/protocol.md", "Incomplete messages of all connections have at most {20 MB} together", "MAX_INCOMPLETE_BYTES"],
  ["docs/protocol.md", "message has at most {2,048} bytes", "MAX_HANDSHAKE_BYTES"],
  ["docs/protocol.md", "a handshake lasts at most {10 s}", "HANDSHAKE_MS"],
  ["docs/protocol.md", "sends its request within {5 s}", "REQUEST_TIMEOUT_MS"],
  ["docs/protocol.md", "`incarnation` is more than {24 h} ahead", "MAX_AHEAD_MS"],
  ["docs/protocol.md", "**Rekeying**, every {120 s}", "REKEY_MS"],
  ["docs/protocol.md", "A key older than {180 s}", "REJECT_AFTER_MS"],
  ["docs/protocol.md", "A cookie is valid for {120} to 240 s", "SECRET_MS", 1_000],
  ["docs/protocol.md", "lost after {12 s} without one", "LOST_MS"],
  ["docs/protocol.md", "{3 s} while frames flow", "BUSY_BEAT_MS"],
  ["docs/protocol.md", "{5 s} while idle", "IDLE_BEAT_MS"],
  ["docs/protocol.md", "{30 s}, or every 4 s while", "HEARTBEAT_MS"],
  ["docs/protocol.md", "or every {4 s} while", "DOUBTFUL_BEAT_MS"],
  ["docs/protocol.md", "the peer silent; after {25 s}", "DEAD_MS"],
  ["docs/protocol.md", "lives for {30 minutes}", "TOMBSTONE_S", 60],
  ["docs/ipam.md", "keeps its address for {30 s}", "ENDED_CONTAINER_GRACE_MS"],
  ["docs/compatibility.md", "an ended container's address is released after {30 s}", "ENDED_CONTAINER_GRACE_MS"],
  ["docs/compatibility.md", "up to {6 minutes}, each delay", DIAL_RETRY.lastMs],
  ["docs/compatibility.md", "each delay ± {50} % at random", DIAL_RETRY.spread * 100],
  ["docs/compatibility.md", "at random: at most {9 minutes}", LONGEST_DIAL_RETRY_MS],
  ["docs/commands.md", "refused here in the last {15 minutes}", REFUSAL_SHOWN_MS],
  ["docs/commands.md", "with its reader: {10 minutes} (`--seconds`)", CAPTURE_RANGES.seconds.usual * 1_000],
  ["docs/commands.md", "{100 MB} (`--size`)", CAPTURE_RANGES.size.usual],
  ["docs/docker.md", "the same address within {30 s}", "ENDED_CONTAINER_GRACE_MS"],
  ["docs/protocol.md", "⌈log2(n + 1)⌉ + {2} random neighbours", "EXTRA_FANOUT"],
  ["docs/compatibility.md", "tombstones for {30 minutes}", "TOMBSTONE_S", 60],
  ["ARCHITECTURE.md", "notices, and {30 s} later the address is free", "ENDED_CONTAINER_GRACE_MS"],
  ["ARCHITECTURE.md", "⌈log2(n + 1)⌉ + {2} random neighbours", "EXTRA_FANOUT"],
  ["ARCHITECTURE.md", "keep their record for {15 minutes}", "FORGET_AFTER_MS"],
  ["ARCHITECTURE.md", "a busy path is probed every {3 s}", "BUSY_BEAT_MS"],
  ["ARCHITECTURE.md", "a key older than {180 s} seals nothing", "REJECT_AFTER_MS"],
  ["ARCHITECTURE.md", "closed {25 s} after the probe", "DEAD_MS"],
  ["ARCHITECTURE.md", "pings are unanswered ({1.5 s})", "DOUBT_MS"],
  ["docs/page.md", "is renewed every {2 s}", "PAGE_INTERVAL_MS"],
  ["docs/page.md", "a router serves at most {64} pages", "MAX_PAGES"],
  ["docs/page.md", "shows up to {2,000} peers", "MAX_PAGE_PEERS"],
  ["docs/page.md", "peers and {10,000} links", "MAX_PAGE_LINKS"],
  ["SECURITY.md", "Diffie-Hellman every {120 s}", "REKEY_MS"],
];

test("figures of the pages are the constants of the sources", () => {
  for (const [path, phrase, from, given] of FIGURES) {
    const text = page(path).replace(/\s+/g, " ");
    assert.ok(text.includes(phrase.replace(/[{}]/g, "")), `${path} does not contain "${phrase}"`);
    const [, digits, unit] = /\{([\d.,]+)\s*(\w*)\}/.exec(phrase)!;
    const shown = Number(digits.replaceAll(",", "")) * (given ?? UNITS[unit]);
    assert.equal(shown, typeof from === "number" ? from : constant(from), `${path}: "${phrase}" and ${from}`);
  }
});
