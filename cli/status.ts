import { mustCall } from "./client.js";
import { usage } from "./exit.js";

const SECTIONS = ["targets", "connections", "peers"];

/** `weave status [targets|connections|peers]` */
export async function run(args: readonly string[]): Promise<void> {
  if (args.length > 1 || (args.length === 1 && !SECTIONS.includes(args[0])))
    throw usage(`Invalid 'weave status' sub-command: ${args.join(" ")}`);
  const text = await mustCall({ path: ["/status", ...args].join("/") });
  process.stdout.write(args.length === 0 ? `\n${text}\n` : text);
}
