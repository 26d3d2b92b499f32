import type { Namespace } from "#test/lab/namespace.js";

/** What installing and running weave can leave on a host, as lines that begin with their kind. */
export type Footprint = ReadonlySet<string>;

/** Folders in which programs are installed, or leave something. */
const FOLDERS = ["etc", "usr", "var", "opt", "root", "home", "lib"];

/** What is in these folders. On a host of test/lab/root-host.sh: what it wrote there, less the folders that were there before. */
const DISK = `disk=/run/disk/written
[ -d $disk ] || disk=
`;

/**
 * Each command prints lines of one kind; one without its program prints nothing. Indices and counters that move by themselves are cut.
 * Of files below /etc the content counts as well.
 */
const COMMANDS: Readonly<Record<string, string>> = {
  link: "ip -o link show | sed 's/^[0-9]*: //; s/@.*//; s/:.*//'",
  address: "ip -o address show scope global | sed 's/^[0-9]*: //; s/ *valid_lft.*//'",
  route: "ip route show table all | sed 's/ linkdown//'",
  rule: "ip rule show",
  namespace: "ip netns list | sed 's/ .*//'",
  // Without iptables' own tables, which it makes when it is first asked for anything, and never removes. Its rules follow.
  nft: "nft --stateless list ruleset 2>/dev/null | awk '/^table /{ own = $2 ~ /^ip6?$/ && $3 ~ /^(filter|nat|raw|mangle|security)$/ } !own'",
  iptables: "iptables-save 2>/dev/null | grep -E '^-|^:[^ ]+ (-|DROP)' | sed 's/ \\[[0-9:]*\\]$//'",
  file: `cd "$disk/"; find ${FOLDERS.join(" ")} /run /tmp -xdev \\( -type l -printf '/%p l %l\\n' \\) -o -printf '/%p %y\\n' 2>/dev/null | sed 's|^//|/|' |
    while read -r path type rest; do [ "$type" = d ] && [ -n "$disk" ] && [ -d "/run/disk/root$path" ] || echo "$path $type $rest"; done`,
  content: `cd "$disk/"; find etc -xdev -type f -exec md5sum {} + 2>/dev/null | sed 's/^\\([^ ]*\\) *\\(.*\\)/\\2 \\1/'`,
  unit: "systemctl list-unit-files --no-legend --no-pager 2>/dev/null | sed 's/  */ /g'",
  network: "docker network ls --format '{{.Name}} {{.Driver}}' 2>/dev/null",
  volume: "docker volume ls -q 2>/dev/null",
  container: "docker ps -a --format '{{.Names}}' 2>/dev/null",
};

/** Reads the footprint of a host. */
export async function footprint(host: Pick<Namespace, "run">): Promise<Footprint> {
  const script = Object.entries(COMMANDS).map(([kind, command]) => `{ ${command}; } | sed 's/^/${kind} /'`);
  const { stdout } = await host.run("sh", "-c", DISK + script.join("\n"));
  return new Set(stdout.split("\n").filter((line) => line !== ""));
}

/**
 * Lists the differences of two footprints: `+ ` what is new, `- ` what is gone.
 *
 * @param except lines that may differ: caches and logs of other programs, say
 */
export function changes(before: Footprint, after: Footprint, except: readonly RegExp[] = []): string[] {
  const only = (mark: string, of: Footprint, other: Footprint) =>
    [...of]
      .filter((line) => !other.has(line) && !except.some((each) => each.test(line)))
      .map((line) => `${mark} ${line}`);
  return [...only("-", before, after), ...only("+", after, before)].sort();
}
