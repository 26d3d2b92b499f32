import { readFileSync } from "node:fs";

/** A family of distributions, with its command that installs packages. */
interface Family {
  readonly title: string;
  /** `ID` of the distribution, or words of `ID_LIKE` of those that derive from it (os-release(5)). */
  readonly ids: readonly string[];
  readonly command: string;
  /** Packages with another name than that of Debian. */
  readonly names: Readonly<Record<string, string>>;
}

const FAMILIES: readonly Family[] = [
  { title: "Debian and Ubuntu", ids: ["debian", "ubuntu"], command: "apt-get install", names: {} },
  { title: "Fedora and RHEL", ids: ["fedora", "rhel"], command: "dnf install", names: { iproute2: "iproute" } },
  { title: "Alpine", ids: ["alpine"], command: "apk add", names: {} },
  { title: "Arch", ids: ["arch"], command: "pacman -S", names: {} },
];

/** Debian's packages of tools whose package has another name. */
const PACKAGES: Readonly<Record<string, string>> = {
  ip: "iproute2",
  bridge: "iproute2",
  nft: "nftables",
  nsenter: "util-linux",
};

/** Debian's package that has a tool; other distributions mostly use the same name. */
export const packageOf = (tool: string): string => PACKAGES[tool] ?? tool;

/**
 * The commands that install the packages of tools: the one of this host's distribution, or one for each family if it is none of them.
 *
 * @param osRelease the text of os-release(5)
 */
export function installCommands(tools: readonly string[], osRelease = readOsRelease()): string[] {
  const packages = [...new Set(tools.map(packageOf))];
  const commandOf = ({ command, names }: Family) => [command, ...packages.map((name) => names[name] ?? name)].join(" ");
  const ids = idsIn(osRelease);
  const family = FAMILIES.find((each) => each.ids.some((id) => ids.includes(id)));
  if (family !== undefined) return [commandOf(family)];
  return FAMILIES.map((each) => `${each.title}: ${commandOf(each)}`);
}

/** The distribution's own identifier, then those that it derives from, the closest first. */
function idsIn(osRelease: string): string[] {
  const valueIn = (name: string) => new RegExp(`^${name}=["']?([^"'\n]*)`, "m").exec(osRelease)?.[1] ?? "";
  return `${valueIn("ID")} ${valueIn("ID_LIKE")}`.split(" ").filter((id) => id !== "");
}

function readOsRelease(): string {
  for (const path of ["/etc/os-release", "/usr/lib/os-release"])
    try {
      return readFileSync(path, "utf8");
    } catch {
      // The other one, or none: then all families are named.
    }
  return "";
}
