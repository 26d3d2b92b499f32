import { statePlace } from "#cli/backup/state.js";
import { eventsDocument } from "#router/event-log/event-document.js";
import { readEventFile } from "#router/event-log/event-file.js";
import type { EventRow } from "#router/event-log/event-row.js";
import { eventFile } from "#src/paths.js";

/** The events that the last router of this host has kept, oldest first; undefined when they cannot be read. */
export async function keptEvents(): Promise<readonly EventRow[] | undefined> {
  try {
    const { prefix } = await statePlace(undefined);
    const events = readEventFile(eventFile(prefix)).sort((a, b) => a.time - b.time);
    return eventsDocument(events, () => undefined).Events;
  } catch {
    return undefined;
  }
}
