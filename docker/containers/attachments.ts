import type { AddressArgument } from "#src/address-argument.js";

/** A container that the router attaches. */
export interface ContainerAttachment {
  /** Holder of the addresses. */
  readonly ident: string;
  /** First process of the container: it shows the network namespace. */
  readonly pid: number;
  readonly wanted: readonly AddressArgument[];
  readonly multicastRoute: boolean;
  /** Undefined: the file stays as Docker wrote it. A failure to write it does not fail the attachment. */
  readonly hostsFile: ContainerHostsFile | undefined;
  /** Limit for the wait for an address; undefined: none. */
  readonly timeoutMs: number | undefined;
  readonly signal: AbortSignal;
}

/** A container's /etc/hosts. */
export interface ContainerHostsFile {
  /** Where it is on this host. */
  readonly path: string;
  /** The container's name, with its domain if it has one; "" for none. */
  readonly name: string;
  /** The container's own host name: it may have dots. */
  readonly hostname: string;
  /** More entries as Docker has them, `host:address`. */
  readonly extra: readonly string[];
}

/** The router's attachments, as the Docker integration uses them. */
export interface ContainerAttachments {
  /**
   * Obtains the addresses, writes the hosts file, and makes the interface, in this order: a container created through the proxy runs its
   * command when the interface is complete. Repeating it changes nothing; a step that fails is undone.
   *
   * @returns the addresses, in CIDR notation
   * @throws WeaveError
   */
  attach(request: ContainerAttachment): Promise<readonly string[]>;
}
