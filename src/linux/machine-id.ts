import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

/** Hashed with the identifiers, so that a peer name does not disclose them. */
const SALT = "weave-name";

const MACHINE_IDS = ["/etc/machine-id", "/var/lib/dbus/machine-id"];
const PRODUCT_IDS = ["/sys/class/dmi/id/product_uuid", "/sys/hypervisor/uuid"];

/**
 * Returns six bytes that are the same at each start of this machine: a hash of the identifiers of system and hypervisor.
 * Undefined where the machine has neither.
 */
export function machineIdBytes(root = ""): Uint8Array | undefined {
  const ids = [MACHINE_IDS, PRODUCT_IDS].map((paths) => firstContents(paths.map((path) => root + path)));
  if (ids.every((id) => id === "")) return undefined;
  return createHash("sha256").update(SALT).update(ids.join("")).digest().subarray(0, 6);
}

function firstContents(paths: readonly string[]): string {
  for (const path of paths) {
    try {
      const contents = readFileSync(path, "utf8");
      if (contents.trim() !== "") return contents;
    } catch {
      // The next file may exist.
    }
  }
  return "";
}
