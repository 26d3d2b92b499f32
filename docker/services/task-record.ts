import * as z from "zod/mini";
import { textFormat } from "#mesh/replica/record-format.js";
import { isIpv4 } from "#src/address.js";

/** A task that gets new connections, or one that only keeps those that it has: it is being stopped, is paused, or is not healthy. */
export type TaskState = "serving" | "draining";

/** A running task of the host that publishes it, on one network. */
export interface TaskFields {
  /** Id of the network, and of the task's endpoint on it. */
  readonly network: string;
  readonly endpoint: string;
  /** The service's address on the network, IPv4. */
  readonly service: string;
  /** The task's own address, IPv4. */
  readonly address: string;
  readonly state: TaskState;
}

const id = () => z.string().check(z.regex(/^[\w.-]{1,128}$/));
const address = () => z.string().check(z.maxLength(15), z.refine(isIpv4));

/** Estimated memory of a task in the index, in bytes, beside its texts. */
const INDEX_BYTES = 350;

/** The format of tasks, for the replica. */
export const TASK_FORMAT = textFormat<TaskFields>(
  "tasks of services",
  {
    network: id(),
    endpoint: id(),
    service: address(),
    address: address(),
    state: z.enum(["serving", "draining"]),
  },
  ({ network, endpoint }) => INDEX_BYTES + network.length + endpoint.length,
);
