import { WeaveError } from "#src/errors.js";
import { Errno, errno, errnoName, libc } from "#src/host/native/libc.js";
import { Memory } from "#src/host/native/memory.js";

/** Bytes of the virtio header before each frame (struct virtio_net_hdr, linux/virtio_net.h). */
export const VNET_HEADER_BYTES = 10;

/** A TAP device as the frame path needs it: a descriptor whose reads and writes are [virtio header][Ethernet frame]. */
export interface TapDevice {
  readonly fd: number;
  readonly name: string;
  close(): void;
}

// linux/if_tun.h, Documentation/networking/tuntap.rst
const O_RDWR_NONBLOCK_CLOEXEC = 2 | 0x800 | 0x80000;
const TUNSETIFF = 0x400454ca;
const TUNSETOFFLOAD = 0x400454d0;
const TUNSETVNETHDRSZ = 0x400454d8;
const IFF_TAP = 0x0002;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
const IFF_NAME_BYTES = 16;
/** Checksums and TCP segmentation are left to whoever needs them: one read then brings up to 64 KB. */
const TUN_F_CSUM_TSO4_TSO6 = 0x01 | 0x02 | 0x04;

/**
 * Opens (and thereby makes) the TAP device `name`. It lives as long as the descriptor.
 *
 * @throws WEAVE_NO_TUN, WEAVE_NOT_ROOT, WEAVE_NATIVE
 */
export function openTap(name: string): TapDevice {
  const fd = libc.open("/dev/net/tun", O_RDWR_NONBLOCK_CLOEXEC);
  if (fd < 0) throw explain(name, errno());
  const memory = new Memory(64);
  try {
    memory.u8.set(Buffer.from(name).subarray(0, IFF_NAME_BYTES - 1), 0);
    memory.view.setUint16(IFF_NAME_BYTES, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, true);
    if (libc.ioctl(fd, TUNSETIFF, memory.at(0, 40)) < 0) throw explain(name, errno());
    memory.view.setInt32(0, VNET_HEADER_BYTES, true);
    if (libc.ioctl(fd, TUNSETVNETHDRSZ, memory.at(0, 4)) < 0) throw explain(name, errno());
    // The third argument is the flag word itself, not an address.
    if (libc.ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM_TSO4_TSO6) < 0) throw explain(name, errno());
  } catch (error) {
    libc.close(fd);
    throw error;
  } finally {
    memory.free();
  }
  return { fd, name, close: () => void libc.close(fd) };
}

function explain(name: string, code: number): WeaveError {
  const why = `cannot open the TAP device ${name}: ${errnoName(code)}`;
  switch (code) {
    case Errno.ENOENT:
    case Errno.ENODEV:
      return new WeaveError("WEAVE_NO_TUN", `${why}: there is no /dev/net/tun`, {
        next: "Load the driver with 'modprobe tun'; in a container, pass --device /dev/net/tun.",
      });
    case Errno.EPERM:
    case Errno.EACCES:
      return new WeaveError("WEAVE_NOT_ROOT", `${why}: it needs CAP_NET_ADMIN`, { next: "Run weave as root." });
    case Errno.EBUSY:
      return new WeaveError("WEAVE_NATIVE", `${why}: another process holds it`, {
        next: "Stop the other router first ('weave stop'), or find it with 'ip -d tuntap'.",
      });
    default:
      return new WeaveError("WEAVE_NATIVE", why);
  }
}
