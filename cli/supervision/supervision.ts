import type { Launch } from "#cli/launch/launch-flags.js";
import type { Supervised, SupervisionKind } from "#cli/support/supervised.js";
import type { LaunchOptions } from "#router/options.js";

/** A router that runs now, and the kind that keeps it running. */
export interface Launched {
  readonly kind: SupervisionKind;
  readonly options: LaunchOptions;
}

/** A way to keep a router running. `cli/supervision/here.ts` finds the one in use, and chooses one for a launch. */
export interface Supervision extends Supervised {
  /**
   * Starts a router, and returns when it is ready.
   *
   * @returns the id that `weave launch` prints
   * @throws Exit with the router's own reason when it cannot start; nothing then keeps running
   */
  start(launch: Launch): Promise<string>;
  /** Ends the router. The bridge, attached containers and the database stay. @returns false if none was kept running */
  stop(): Promise<boolean>;
  /**
   * Starts the router again with the options of the last launch, password included, and the targets of the last run. Everything is
   * new afterwards: what keeps the router running, too.
   *
   * @param image the new image of a router in a container; other kinds ignore it
   * @throws WeaveError, with the old router still running, when those options cannot be read; Exit when the new one cannot start
   */
  restart(image?: string): Promise<void>;
  /** Path prefix of the database, for a kind that decides where it is; undefined if there is none yet. */
  databasePrefix?(): Promise<string | undefined>;
  /** Starts no router by itself from now on, beside the one that another kind has just launched. */
  retire(launched: Launched): Promise<void>;
  /** Removes its own files and objects on the host, beside the files of every router: for `weave reset`, after {@link stop}. */
  remove(): Promise<void>;
}
