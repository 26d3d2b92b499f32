import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

/** Hashed with the identifier, so that a name does not disclose it. */
const SALT = "weave-name";

const MACHINE_IDS = ["/etc/machine-id", "/var/lib/dbus/machine-id"];
const PRODUCT_IDS = ["/sys/class/dmi/id/product_uuid", "/sys/hypervisor/uuid"];

/**
 * Six bytes that are the same at each start of this machine: a hash of its identifiers from the system and the hypervisor.
 * Undefined where it has none.
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
