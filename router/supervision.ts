import type { RouterOptions } from "#router/options.js";

/** What starts a router again after its end, as status and report name it: a kind of `cli/supervision/`, Docker's managed plugin, or nothing. */
export type SupervisionName = "process" | "systemd" | "container" | "plugin" | "none";

/** Names what starts this router again. @param words the arguments of `router/main.js` */
export function supervisionName(words: readonly string[], { restart, docker }: RouterOptions): SupervisionName {
  if (words.includes("--supervised=systemd")) return "systemd";
  if (words.includes("--supervised=container")) return "container";
  if (!words.includes("--foreground")) return restart ? "process" : "none";
  return docker.pluginV2 ? "plugin" : "none";
}
