import { RouterEmitter } from "#router/events.js";
import type { Log } from "#src/log.js";
import { databaseFile } from "#src/paths.js";
import type { Problems } from "#src/problems.js";
import { Resources } from "#src/resources.js";
import type { Store } from "#src/store.js";
import { lmdbStore } from "#src/store-lmdb.js";

/** The objects that all parts of a router share. */
export interface StartContext {
  readonly store: Store;
  readonly events: RouterEmitter;
  /** The resources of this start. A stop and a failed start release them. */
  readonly resources: Resources;
  readonly log: Log;
  readonly problems: Problems;
}

/** Opens the database, and makes the objects that all parts share. @throws WEAVE_STORE */
export function openContext(dbPrefix: string, log: Log, problems: Problems): StartContext {
  const resources = new Resources(log);
  const store = lmdbStore(databaseFile(dbPrefix));
  resources.add("database", () => store.close());
  return { store, events: new RouterEmitter(), resources, log, problems };
}
