import { WeaveError } from "#src/errors.js";
import { Errno, errno, errnoName, libc } from "#src/linux/native/libc.js";
import { Memory } from "#src/linux/native/memory.js";
import { isRoot } from "#src/root.js";

/** Size of the virtio header before each frame (struct virtio_net_hdr, linux/virtio_net.h). */
export const VNET_HEADER_BYTES = 10;

/** Offloads of the TAP device. The router does the work of an offload that the kernel lacks. */
export interface TapOffloads {
  /** Frames have a virtio header, which allows unfinished checksums. */
  readonly vnetHeader: boolean;
  /** TCP super-frames of up to 64 KB are read and written. */
  readonly tso: boolean;
  /** UDP super-frames are read and written (Linux 6.2). */
  readonly uso: boolean;
}

/** An open TAP device. */
export interface TapDevice {
  /** A descriptor for each queue. */
  readonly fds: readonly number[];
  readonly name: string;
  readonly offloads: TapOffloads;
  close(): void;
}

// linux/if_tun.h, Documentation/networking/tuntap.rst
const O_RDWR_NONBLOCK_CLOEXEC = 2 | 0x800 | 0x80000;
const TUNSETIFF = 0x400454ca;
const TUNSETOFFLOAD = 0x400454d0;
const TUNSETVNETHDRSZ = 0x400454d8;
const IFF_TAP = 0x0002;
const IFF_MULTI_QUEUE = 0x0100;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
const IFF_NAME_BYTES = 16;
/** Size of struct ifreq. */
const IFREQ_BYTES = 40;
const TUN_F_CSUM = 0x01;
const TUN_F_TSO = 0x02 | 0x04;
const TUN_F_USO = 0x20 | 0x40;

/**
 * Makes and opens the TAP device `name`. The kernel deletes it when all descriptors are closed.
 *
 * @param queues number of descriptors; the kernel distributes flows over them
 * @param allowed the offloads that may be used
 * @throws WEAVE_NO_TUN, WEAVE_NOT_ROOT, WEAVE_NATIVE
 */
export function openTap(name: string, queues: number, allowed: TapOffloads): TapDevice {
  const fds: number[] = [];
  const close = () => {
    for (const fd of fds) libc.close(fd);
  };
  try {
    let { vnetHeader } = allowed;
    for (let i = 0; i < queues; i++) {
      const fd = libc.open("/dev/net/tun", O_RDWR_NONBLOCK_CLOEXEC);
      if (fd < 0) throw explain(name, errno());
      fds.push(fd);
      const flags = IFF_TAP | IFF_NO_PI | (queues > 1 ? IFF_MULTI_QUEUE : 0);
      let failure = vnetHeader ? attach(fd, name, flags | IFF_VNET_HDR) : 0;
      // The flag can be the reason only for the first queue: the others have the same flags.
      if (failure === Errno.EINVAL && i === 0) vnetHeader = false;
      if (!vnetHeader) failure = attach(fd, name, flags);
      if (failure !== 0) throw explain(name, failure);
      if (vnetHeader) setHeaderBytes(fd, name);
    }
    return { fds, name, offloads: { vnetHeader, ...segmentation(fds[0], vnetHeader, allowed) }, close };
  } catch (error) {
    close();
    throw error;
  }
}

/** Attaches a descriptor to the device (TUNSETIFF). @returns 0, or errno */
function attach(fd: number, name: string, flags: number): number {
  const memory = new Memory(64);
  memory.u8.set(Buffer.from(name).subarray(0, IFF_NAME_BYTES - 1), 0);
  memory.view.setUint16(IFF_NAME_BYTES, flags, true);
  const code = libc.ioctl(fd, TUNSETIFF, memory.at(0, IFREQ_BYTES)) < 0 ? errno() : 0;
  memory.free();
  return code;
}

function setHeaderBytes(fd: number, name: string): void {
  const memory = new Memory(16);
  memory.view.setInt32(0, VNET_HEADER_BYTES, true);
  const done = libc.ioctl(fd, TUNSETVNETHDRSZ, memory.at(0, 4)) >= 0;
  const code = errno();
  memory.free();
  if (!done) throw explain(name, code);
}

/** Enables as many segmentation offloads as the kernel has. The third argument of this ioctl is a flag word, not an address. */
function segmentation(fd: number, vnetHeader: boolean, allowed: TapOffloads): { tso: boolean; uso: boolean } {
  const accepts = (flags: number) => libc.ioctl(fd, TUNSETOFFLOAD, flags) >= 0;
  if (vnetHeader && allowed.tso) {
    if (allowed.uso && accepts(TUN_F_CSUM | TUN_F_TSO | TUN_F_USO)) return { tso: true, uso: true };
    if (accepts(TUN_F_CSUM | TUN_F_TSO)) return { tso: true, uso: false };
  }
  if (vnetHeader) accepts(TUN_F_CSUM);
  return { tso: false, uso: false };
}

function explain(name: string, code: number): WeaveError {
  const why = `cannot open the TAP device ${name}: ${errnoName(code)}`;
  switch (code) {
    case Errno.ENOENT:
    case Errno.ENODEV:
    case Errno.ENXIO:
      return new WeaveError(
        "WEAVE_NO_TUN",
        `${why}: there is no ${code === Errno.ENOENT ? "" : "driver for "}/dev/net/tun`,
        {
          next: "Load the driver with 'modprobe tun'; in a container, pass --device /dev/net/tun.",
        },
      );
    case Errno.ENOTTY:
      return new WeaveError("WEAVE_NO_TUN", `${why}: /dev/net/tun is no TUN device`, {
        next: "Move it away and make it: mknod /dev/net/tun c 10 200",
      });
    case Errno.EPERM:
    case Errno.EACCES:
      return isRoot()
        ? new WeaveError("WEAVE_NO_TUN", `${why}: this root may not use /dev/net/tun, or lacks CAP_NET_ADMIN`, {
            next: "In a container, pass --device /dev/net/tun and --cap-add NET_ADMIN; in a unit, see DeviceAllow= and CapabilityBoundingSet=.",
          })
        : new WeaveError("WEAVE_NOT_ROOT", `${why}: it needs CAP_NET_ADMIN`, { next: "Run weave as root." });
    case Errno.EBUSY:
      return new WeaveError("WEAVE_NATIVE", `${why}: another process holds it`, {
        next: "Stop the other router first ('weave stop'), or find it with 'ip -d tuntap'.",
      });
    default:
      return new WeaveError("WEAVE_NATIVE", why);
  }
}
