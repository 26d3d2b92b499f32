import type { Heartbeats } from "#router/carriers/fastdp/heartbeats.js";
import { errorText } from "#src/errors.js";
import { interfaceIndex } from "#src/linux/links/interface-index.js";
import type { Netlink } from "#src/linux/netlink/netlink.js";
import { ForwardingTable } from "#src/linux/vxlan/forwarding-table.js";
import { HeartbeatSocket } from "#src/linux/vxlan/heartbeat-socket.js";
import { removeDevice, type VxlanOptions, VxlanPort } from "#src/linux/vxlan/vxlan-port.js";
import type { Log } from "#src/log.js";

export interface VxlanDeviceDeps {
  /** Of the host's namespace. */
  readonly netlink: Netlink;
  readonly options: VxlanOptions;
  /** Name of the router's TAP device. */
  readonly tap: string;
  readonly heartbeats: Heartbeats;
  /** See `KernelTunnel.cookie`. */
  readonly cookie: number;
  readonly log: Log;
}

/** What a check has done. */
export type DeviceCheck =
  /** All was right, or is now. `entriesLost`: the device is a new one. */
  { readonly problem: undefined; readonly entriesLost: boolean } | { readonly problem: string };

/** A VXLAN device of this host with its forwarding entries and the socket of its heartbeats, kept as they must be. */
export class VxlanDevice {
  readonly table: ForwardingTable;
  readonly #deps: VxlanDeviceDeps;
  #port: VxlanPort | undefined;
  #socket: HeartbeatSocket | undefined;
  /** The interfaces of the socket: it is opened again for new ones. */
  #socketPorts = "";

  constructor(deps: VxlanDeviceDeps) {
    this.#deps = deps;
    const { options, tap } = deps;
    this.table = new ForwardingTable(deps.netlink, () => ({
      bridge: interfaceIndex(options.bridge),
      vxlan: this.#port?.ifindex ?? 0,
      tap: interfaceIndex(tap),
    }));
  }

  /** Makes the device, or finds that of an earlier process; then compares it with what it must be, and repairs it. Never rejects. */
  async check(): Promise<DeviceCheck> {
    const { netlink, options, log } = this.#deps;
    try {
      let entriesLost = false;
      if (this.#port === undefined) this.#port = await VxlanPort.ensure(netlink, options);
      else {
        const repaired = await this.#port.repair();
        for (const { key, what } of repaired) {
          log.warn("the kernel's path was changed by another program; it is repaired", { was: what });
          entriesLost ||= key === "device";
        }
      }
      this.#openSocket(this.#port.ifindex);
      return { problem: undefined, entriesLost };
    } catch (error) {
      this.#closeSocket();
      return { problem: errorText(error) };
    }
  }

  /** Removes the device, that of an earlier process too. @throws WEAVE_NATIVE */
  async remove(): Promise<void> {
    this.close();
    this.#port = undefined;
    await removeDevice(this.#deps.netlink, this.#deps.options.name);
  }

  /** Closes the socket. The device stays: it forwards frames while the router is replaced. */
  close(): void {
    this.#closeSocket();
  }

  #openSocket(vxlan: number): void {
    const bridge = interfaceIndex(this.#deps.options.bridge);
    const ports = `${bridge} ${vxlan}`;
    if (this.#socket !== undefined && ports === this.#socketPorts) return;
    this.#closeSocket();
    const socket = new HeartbeatSocket({ bridge, vxlan }, this.#deps.cookie);
    const { heartbeats } = this.#deps;
    socket.events.on("frame", (_source, payload) => heartbeats.receive(payload));
    heartbeats.use(socket);
    this.#socket = socket;
    this.#socketPorts = ports;
  }

  #closeSocket(): void {
    this.#deps.heartbeats.use(undefined);
    this.#socket?.close();
    this.#socket = undefined;
  }
}
