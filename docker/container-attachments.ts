import type { AddressArgument } from "#src/address-argument.js";

/** Request to attach a container. */
export interface ContainerAttachment {
  /** Holder of the addresses in IPAM: the container's id. */
  readonly ident: string;
  /** Id of the container's first process, by which its network namespace is found. */
  readonly pid: number;
  readonly wanted: readonly AddressArgument[];
  readonly multicastRoute: boolean;
  /** Undefined: the file stays as Docker wrote it. If it cannot be written, the attachment continues. */
  readonly hostsFile: HostsFile | undefined;
  /** Limit for the wait for an address; undefined: none. */
  readonly timeoutMs: number | undefined;
  readonly signal: AbortSignal;
}

/** A container's /etc/hosts. */
export interface HostsFile {
  /** Path of the file on this host. */
  readonly path: string;
  /** The container's name, with its domain if it has one; "" for none. */
  readonly name: string;
  /** The container's own host name, which may contain dots. */
  readonly hostname: string;
  /** More entries in Docker's form, `host:address`. */
  readonly extra: readonly string[];
}

/** The router's attachments, as the Docker integration uses them. */
export interface ContainerAttachments {
  /**
   * Obtains the addresses, writes the hosts file, and creates the interface. The interface is last because the command of a container that
   * was created through the proxy starts when the interface is complete. A repeated call changes nothing; a failed one is undone.
   *
   * @returns the addresses, in CIDR notation
   * @throws WeaveError
   */
  attach(request: ContainerAttachment): Promise<readonly string[]>;
}
