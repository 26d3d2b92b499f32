/** Names of the interfaces that attach containers to the bridge. */

/** Name of the interface inside a container; the same as in Weave Net. */
export const CONTAINER_IFNAME = "ethwe";
/** Prefix of the names of host ends, by which `reset` finds them. */
export const HOST_IFNAME_PREFIX = "vethwe";

/** Prefix of the names of host ends of interfaces that a CNI runtime requested. */
export const CNI_IFNAME_PREFIX = `${HOST_IFNAME_PREFIX}c`;

/** Makes the name of the host end of a namespace from its inode, in the 15 characters that the kernel allows. */
export function hostIfname({ inode }: { readonly inode: number }): string {
  return `${HOST_IFNAME_PREFIX}pl${(inode % 36 ** 7).toString(36).padStart(7, "0")}`;
}

/**
 * Whether a name needs no quoting in a command. The kernel forbids `/`, `:` and space only, and a container with the right to change its
 * interfaces can rename them.
 */
export const isPlainIfname = (name: string): boolean => /^[a-zA-Z0-9_][\w.@+-]{0,14}$/.test(name);
