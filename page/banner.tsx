import type { Live } from "./feed.ts";
import { timeText } from "./format.ts";

/** Time for which a restart of the router is announced. */
const ANNOUNCE_MS = 60_000;

/** What is wrong with the page itself: no contact, a restart, a new version. An empty status region announces what comes later. */
export function Banner({ live }: { readonly live: Live }) {
  return (
    <div class="banner" role="status">
      {live.contact === "lost" && (
        <p class="lost">
          The router does not answer since {timeText(live.since)}. This is its last state, in grey; connecting again …
        </p>
      )}
      {live.contact === "refused" && (
        <p class="lost">
          Too many pages are open at this router: this one is renewed every few seconds. Close another one.
        </p>
      )}
      {live.outdated && (
        <p>
          The router has another version than this page.{" "}
          <button type="button" onClick={() => location.reload()}>
            Load it again
          </button>
        </p>
      )}
      {live.contact === "live" && live.restarted !== undefined && Date.now() - live.restarted < ANNOUNCE_MS && (
        <p>The router has started again at {timeText(live.restarted)}; its counters begin at zero.</p>
      )}
    </div>
  );
}
