import { readFileSync } from "node:fs";

/** States of a bridge's port (linux/if_bridge.h), by their numbers. */
const STATES = ["disabled", "listening", "learning", "forwarding", "blocking"];

/** A port of a bridge, as the bridge treats its frames. */
export interface PortState {
  /** `forwarding`: frames pass; `disabled` where one of the two ends of the pair is down; "" when it is no port of a bridge. */
  readonly state: string;
  /** Whether no frames pass between it and other isolated ports, to which those of the overlay belong. */
  readonly isolated: boolean;
}

/** Reads the state of a port from sysfs. */
export function portState(port: string): PortState {
  const read = (name: string): string | undefined => {
    try {
      return readFileSync(`/sys/class/net/${port}/brport/${name}`, "utf8").trim();
    } catch {
      return undefined;
    }
  };
  const state = read("state");
  return { state: state === undefined ? "" : (STATES[Number(state)] ?? state), isolated: read("isolated") === "1" };
}
