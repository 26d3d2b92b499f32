import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { hasSystemd, systemctl } from "#cli/support/systemctl.js";

/*
 * Programs that configure interfaces by themselves. They would take addresses, routes or the bridge away from interfaces of weave
 * that match a general rule of theirs; a file of their own kind makes them leave these alone.
 */

/** Names of weave's interfaces on the host, beside the bridge: the TAP device, and the host ends of containers. */
export const INTERFACE_PATTERNS = ["weave-*", "vethw*"];

/** First line of the files, by which `weave reset` recognizes them. */
const HEADER = "# Written by 'weave setup --network-managers'; 'weave reset' removes it.";

/** How to have the managers leave weave's interfaces alone. */
export const managersRemedy = "'weave setup --network-managers' prevents it";

interface Manager {
  readonly name: string;
  readonly unit: string;
  readonly file: string;
  readonly text: (names: readonly string[]) => string;
}

const MANAGERS: readonly Manager[] = [
  {
    name: "NetworkManager",
    unit: "NetworkManager.service",
    file: "/etc/NetworkManager/conf.d/weave.conf",
    // NetworkManager.conf(5)
    text: (names) => `[keyfile]\nunmanaged-devices+=${names.map((name) => `interface-name:${name}`).join(";")}\n`,
  },
  {
    name: "systemd-networkd",
    unit: "systemd-networkd.service",
    // systemd.network(5): of all files that match an interface, the first one by name counts.
    file: "/etc/systemd/network/05-weave.network",
    text: (names) => `[Match]\nName=${names.join(" ")}\n\n[Link]\nUnmanaged=yes\n`,
  },
];

/** The text of a manager's file for weave's interfaces. */
const textOf = (manager: Manager, bridge: string): string =>
  `${HEADER}\n${manager.text([bridge, ...INTERFACE_PATTERNS])}`;

/** The managers of this host that run, or will at the next boot; and whether each leaves weave's interfaces alone. */
export async function networkManagers(bridge: string): Promise<readonly { name: string; isSet: boolean }[]> {
  const found = await present();
  return found.map((manager) => ({ name: manager.name, isSet: read(manager.file) === textOf(manager, bridge) }));
}

/** Writes the files of the managers of this host. @returns the paths of the files */
export async function writeManagerFiles(bridge: string): Promise<readonly string[]> {
  const found = await present();
  for (const manager of found) {
    mkdirSync(dirname(manager.file), { recursive: true });
    writeFileSync(manager.file, textOf(manager, bridge), { mode: 0o644 });
    await reload(manager);
  }
  return found.map(({ file }) => file);
}

/** Removes the files that {@link writeManagerFiles} has written. */
export async function removeManagerFiles(): Promise<void> {
  for (const manager of MANAGERS) {
    if (!read(manager.file)?.startsWith(HEADER)) continue;
    rmSync(manager.file, { force: true });
    await reload(manager);
  }
}

async function present(): Promise<readonly Manager[]> {
  if (!hasSystemd())
    return MANAGERS.filter(({ file }) => file.startsWith("/etc/NetworkManager/") && existsSync(dirname(file)));
  const answers = await Promise.all(
    MANAGERS.map(
      async ({ unit }) => (await systemctl("is-active", unit)).ok || (await systemctl("is-enabled", unit)).ok,
    ),
  );
  return MANAGERS.filter((_, index) => answers[index]);
}

/** Has a running manager read its files again. */
async function reload({ unit }: Manager): Promise<void> {
  // A failure is ignored: an old release that cannot reload reads the file at its next start; a restart would disturb the host's network.
  if (hasSystemd()) await systemctl("reload", unit);
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}
