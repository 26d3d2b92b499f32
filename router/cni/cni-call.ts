import { CniError } from "#router/cni/cni-error.js";
import { isPlainIfname } from "#src/linux/links/interface-names.js";

const CNI_COMMANDS = ["ADD", "DEL", "CHECK", "STATUS", "GC", "VERSION"] as const;
export type CniCommand = (typeof CNI_COMMANDS)[number];

/** Maximum characters of a container's id: it is part of the holder's id in IPAM. */
const MAX_CONTAINER = 128;
/** The kernel's limits for names of interfaces (IFNAMSIZ) and for paths (PATH_MAX). */
const MAX_IFNAME = 15;
const MAX_PATH = 4_096;
/** Maximum characters and entries of `CNI_ARGS`. */
const MAX_ARGS = 16_384;

/** The parameters of an attachment: a container's interface. Those that a command does not take are "". */
export interface CniCall {
  readonly command: CniCommand;
  readonly container: string;
  readonly ifname: string;
  /** Path of the network namespace; "" for one that has ended. */
  readonly netns: string;
  /** The entries of `CNI_ARGS`, by upper-case key. */
  readonly args: ReadonlyMap<string, string>;
}

/** The variables that each command needs. */
const NEEDED: Readonly<Record<CniCommand, readonly string[]>> = {
  ADD: ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"],
  DEL: ["CNI_CONTAINERID", "CNI_IFNAME"],
  CHECK: ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"],
  STATUS: [],
  GC: [],
  VERSION: [],
};

/**
 * Validates the variables of a call. Names of interfaces are limited to characters that need no quoting in the commands of `ip`.
 *
 * @throws CniError 4, naming the invalid variables
 */
export function parseCniCall(environment: Readonly<Record<string, string>>): CniCall {
  const text = (name: string) => environment[name] ?? "";
  const command = CNI_COMMANDS.find((each) => each === text("CNI_COMMAND"));
  if (command === undefined) throw invalid("CNI_COMMAND", text("CNI_COMMAND"), `one of ${CNI_COMMANDS.join(", ")}`);
  const missing = NEEDED[command].filter((name) => text(name) === "");
  if (missing.length > 0)
    throw new CniError("invalidEnvironment", `${command} needs ${missing.join(" and ")}`, {
      next: "The container runtime sets these variables.",
    });
  const [container, ifname, netns] = [text("CNI_CONTAINERID"), text("CNI_IFNAME"), text("CNI_NETNS")];
  if (container !== "" && (container.length > MAX_CONTAINER || !/^[a-zA-Z0-9][\w.-]*$/.test(container)))
    throw invalid("CNI_CONTAINERID", container, `up to ${MAX_CONTAINER} letters, digits, '_', '.' and '-'`);
  if (ifname !== "" && !isPlainIfname(ifname))
    throw invalid("CNI_IFNAME", ifname, `up to ${MAX_IFNAME} letters, digits, '_', '.', '@', '+' and '-'`);
  if (netns !== "" && (netns.length > MAX_PATH || !/^\/[^"#\\\p{Cc}]*$/u.test(netns)))
    throw invalid("CNI_NETNS", netns, "the path of a network namespace, without '\"', '#' and '\\'");
  return { command, container, ifname, netns, args: argsOf(text("CNI_ARGS")) };
}

/** Parses `KEY=VALUE;KEY=VALUE`. Unknown keys are kept: other plugins use them. */
function argsOf(text: string): Map<string, string> {
  if (text.length > MAX_ARGS) throw invalid("CNI_ARGS", text, `up to ${MAX_ARGS} characters`);
  const entries = text.split(";").filter((entry) => entry.trim() !== "");
  return new Map(
    entries.map((entry) => {
      const at = entry.indexOf("=");
      if (at <= 0) throw invalid("CNI_ARGS", entry, "pairs KEY=VALUE, separated by ';'");
      return [entry.slice(0, at).trim().toUpperCase(), entry.slice(at + 1).trim()];
    }),
  );
}

const invalid = (name: string, value: string, expected: string): CniError =>
  new CniError("invalidEnvironment", `invalid ${name} ${JSON.stringify(value.slice(0, 64))}`, {
    next: `It must be ${expected}.`,
  });
