import * as z from "zod/mini";
import { RECORD_OVERHEAD_BYTES, type RecordFormat } from "#mesh/replica/record-format.js";
import { isIpv4 } from "#src/address.js";
import { compareText } from "#src/text.js";

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

/** Fields, order and size of tasks, for the replica. */
export const TASK_FORMAT: RecordFormat<TaskFields> = {
  name: "tasks of services",
  fields: {
    network: id(),
    endpoint: id(),
    service: address(),
    address: address(),
    state: z.enum(["serving", "draining"]),
  },
  compare: (a, b) =>
    compareText(a.origin, b.origin) ||
    compareText(a.endpoint, b.endpoint) ||
    compareText(a.network, b.network) ||
    compareText(a.service, b.service) ||
    compareText(a.address, b.address) ||
    compareText(a.state, b.state),
  bytes: ({ network, endpoint }) => RECORD_OVERHEAD_BYTES + network.length + endpoint.length + 40,
};
