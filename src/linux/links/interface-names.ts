/** Names of the interfaces that attach containers to the bridge. */

/** The interface's name inside a container; the same as in Weave Net. */
export const CONTAINER_IFNAME = "ethwe";
/** The start of the names of host ends: `reset` finds them by it. */
export const HOST_IFNAME_PREFIX = "vethwe";

/** The name of the host end for a namespace: from its inode, which is unique and fits into the kernel's 15 characters. */
export function hostIfname({ inode }: { readonly inode: number }): string {
  return `${HOST_IFNAME_PREFIX}pl${(inode % 36 ** 7).toString(36).padStart(7, "0")}`;
}
