import type { Listing } from "#src/shape.js";

/** Names that only the running system knows: each kind has a command in {@link NAMES}. */
export type NameKind = "capture-target" | "container" | "image" | "peer" | "place" | "target" | "host-name";

/** The words that a shell offers for an argument or for the value of a flag. */
export type Candidates = Listing | { readonly kind: NameKind };

/** Limit for a command that lists names, in seconds: the shell waits for it, without a way to interrupt it in some shells. */
const LIMIT_S = 1;

const within = (command: string): string => `timeout ${LIMIT_S} ${command} 2>/dev/null </dev/null`;
const report = (template: string): string => within(`weave report -f '${template}{{"\\n"}}{{end}}'`);

const CONTAINERS = `${within("docker ps --format '{{.Names}}'")}; ${within("ls /run/netns")} | sed 's/^/netns:/'`;
const PEERS = report("{{range .Router.Peers}}{{.NickName}}");

/**
 * The command that lists the names of a kind, one in each line, in words that bash, zsh and fish read alike. A command that fails, is
 * missing or takes too long lists nothing.
 */
export const NAMES: Readonly<Record<NameKind | "interface", string>> = {
  "capture-target": `${PEERS}; ${CONTAINERS}; ${within("ls /sys/class/net")} | grep -E '^(weave|vethwe)'`,
  container: CONTAINERS,
  image: within("docker images --format '{{.Repository}}:{{.Tag}}'"),
  peer: PEERS,
  target: within("weave status targets"),
  place: `${PEERS}; ${report("{{range .DNS.Entries}}{{.Hostname}}")}`,
  "host-name": report("{{range .DNS.Entries}}{{.Hostname}}"),
  interface: within("ls /sys/class/net"),
};

/** Candidates for a placeholder of the command table, `<name>`, in all commands; and for one of a certain command. */
const BY_PLACEHOLDER: Readonly<Record<string, Candidates>> = {
  "<capture_target>": { kind: "capture-target" },
  "<container>": { kind: "container" },
  "<image>": { kind: "image" },
  "<peer_id>": { kind: "peer" },
  "<file>": { kind: "file" },
  "<path>": { kind: "file" },
  "doctor <peer>": { kind: "target" },
  "forget <peer>": { kind: "target" },
  "ping <target>": { kind: "place" },
  "trace <target>": { kind: "place" },
  "dns-lookup <name>": { kind: "host-name" },
  "dns-remove <name>": { kind: "host-name" },
};

/** Candidates for a placeholder of a command; undefined where none can be listed. @param placeholder with its angle brackets */
export const candidatesFor = (command: string, placeholder: string): Candidates | undefined =>
  BY_PLACEHOLDER[`${command} ${placeholder}`] ?? BY_PLACEHOLDER[placeholder];
