import { cpSync } from "node:fs";
import { join } from "node:path";
import { root } from "../project.mjs";

/** Writes `share/systemd/`: the unit and its variables. */
export function systemd({ out }) {
  cpSync(join(root, "packaging/systemd"), join(out, "share/systemd"), { recursive: true });
}
