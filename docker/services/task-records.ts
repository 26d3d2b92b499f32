import { TASK_FORMAT, type TaskFields } from "#docker/services/task-record.js";
import type { GossipChannel, Gossiper } from "#mesh/gossip.js";
import type { KnownPeers, PeerName } from "#mesh/peer.js";
import type { Versioned } from "#mesh/replica/record-format.js";
import { Replica, type ReplicaDeps } from "#mesh/replica/replica.js";
import { SET_BYTES } from "#mesh/replica/replicas.js";

/** Name of the gossip channel that carries tasks. */
export const TASKS_CHANNEL = "tasks";

export interface TaskRecordsDeps
  extends Omit<ReplicaDeps<TaskFields>, "indexes" | "shareBytes" | "store" | "onChange"> {
  readonly self: PeerName;
  /** Counter that grows with each start of this peer. */
  readonly incarnation: number;
  readonly peers: KnownPeers;
  /** Called when a record of any host has changed. Further changes of the same message follow at once. */
  readonly onChange: (record: Versioned<TaskFields>) => void;
}

/**
 * The running tasks of services on all hosts. Each host publishes its own. They are in memory alone: what was true before a restart
 * may not be now, and without a record the engines' list counts.
 */
export class TaskRecords {
  readonly #replica: Replica<TaskFields>;

  constructor(deps: TaskRecordsDeps) {
    const { onChange, ...others } = deps;
    this.#replica = new Replica({
      ...others,
      format: TASK_FORMAT,
      shareBytes: SET_BYTES.tasks,
      onChange: ({ added, removed }) => [...removed, ...added].forEach(onChange),
    });
  }

  /** The receiving end of the channel. */
  get gossiper(): Gossiper {
    return this.#replica;
  }

  /** Sets the sending end of the channel. */
  open(channel: GossipChannel): void {
    this.#replica.open(channel);
  }

  /**
   * Publishes the tasks of this host, in place of those that were published before.
   *
   * @returns false when there are too many
   */
  publish(tasks: readonly TaskFields[]): boolean {
    // In one change, so that no peer sees a task that has no state at all.
    return this.#replica.update({ put: tasks, drop: () => true }) !== undefined;
  }

  /** The tasks that this host has published. */
  get own(): readonly TaskFields[] {
    return this.#replica.own();
  }

  /** The records of all hosts; those with a tombstone are over. */
  all(): Iterable<Versioned<TaskFields>> {
    return this.#replica.all();
  }

  stop(): void {
    this.#replica.stop();
  }
}
