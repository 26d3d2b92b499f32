import { RouterEmitter } from "#router/events.js";
import type { Log } from "#src/log.js";
import { databaseFile } from "#src/paths.js";
import type { Problems } from "#src/problems.js";
import { Resources } from "#src/resources.js";
import type { Store } from "#src/store.js";
import { lmdbStore } from "#src/store-lmdb.js";

/** The ground that all parts of a router stand on. */
export interface StartContext {
  readonly store: Store;
  readonly events: RouterEmitter;
  /** Of this start: a stop and a failed start release them. */
  readonly resources: Resources;
  readonly log: Log;
  readonly problems: Problems;
}

/** @throws WEAVE_STORE */
export function openContext(dbPrefix: string, log: Log, problems: Problems): StartContext {
  const resources = new Resources(log);
  const store = lmdbStore(databaseFile(dbPrefix));
  resources.add("database", () => store.close());
  return { store, events: new RouterEmitter(), resources, log, problems };
}
