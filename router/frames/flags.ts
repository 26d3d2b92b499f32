import type { FastdpEncrypted } from "#router/carriers/fastdp/kernel-path.js";
import { OFFLOADS, type OffloadName } from "#router/datapath/protocol.js";
import { MAX_LANES } from "#router/datapath/record.js";
import { flag, toggle } from "#src/flag.js";
import { interfaceName } from "#src/flag-shapes.js";
import { choice, commaList, whole } from "#src/shape.js";

export const FRAMES = "Frame path";
/** Default MTU, as in Weave Net: VXLAN in WireGuard takes 110 bytes of 1,500, and VXLAN alone 50 of the 1,460 of some clouds. */
const MTU = 1_376;
/** Default MTU with `--no-fastdp`, as in Weave Net: the bridge needs no limit. */
const MTU_NO_FASTDP = 65_535;
/** Maximum characters of the bridge's name: Linux limits link names to 15, and names of other links extend it. */
const MAX_BRIDGE_NAME = 11;

/** The MTU of the bridge, in bytes. @param given the flag's value; 0: none */
export const mtuOf = (given: number, noFastdp: boolean): number => given || (noFastdp ? MTU_NO_FASTDP : MTU);

const offloads = Object.fromEntries(OFFLOADS.map((name) => [name, name])) as Record<OffloadName, OffloadName>;

/** Flags about the frame path and its bridge. */
export const FRAME_FLAGS = {
  mtu: flag({
    flag: "mtu",
    env: "WEAVE_MTU",
    shape: whole(576, 65_535, "bytes", [0, "the default"]),
    default: 0,
    defaultText: `${MTU}, or ${MTU_NO_FASTDP} with --no-fastdp`,
    placeholder: "bytes",
    section: FRAMES,
    meaning: "MTU of the bridge and of containers",
  }),
  noFastdp: {
    ...toggle("no-fastdp", FRAMES, "frames never take the kernel's path (fastdp); another default of --mtu"),
    env: "WEAVE_NO_FASTDP",
  },
  fastdpEncrypted: flag<FastdpEncrypted>({
    flag: "fastdp-encrypted",
    env: "WEAVE_FASTDP_ENCRYPTED",
    shape: choice({ auto: "auto", on: "on", off: "off" }),
    default: "auto",
    placeholder: "auto|on|off",
    section: FRAMES,
    meaning:
      "encrypted frames take the kernel's path (fastdp, by WireGuard): on: first; auto: where it is measured to be faster than sleeve, or sleeve fails; off: never",
  }),
  datapathThreads: flag({
    flag: "datapath-threads",
    shape: whole(0, MAX_LANES),
    default: 0,
    placeholder: "count",
    section: FRAMES,
    meaning: "threads of the frame path; 0: 1 below four cores, then half of the cores, 4 at most",
  }),
  datapathNice: flag({
    flag: "datapath-nice",
    env: "WEAVE_DATAPATH_NICE",
    shape: whole(-20, 19),
    default: 0,
    placeholder: "value",
    section: FRAMES,
    meaning:
      "nice value of the frame path's threads: lower ones get more of a busy core, and leave less to programs that receive",
  }),
  offloadsOff: flag({
    flag: "offloads-off",
    env: "WEAVE_OFFLOADS_OFF",
    shape: commaList(`names out of ${OFFLOADS.join(", ")}, with commas between`, choice(offloads)),
    default: [],
    defaultText: "none",
    placeholder: "name,...",
    section: FRAMES,
    meaning: "offloads that are not used although the kernel has them",
  }),
  bridge: flag({
    flag: "weave-bridge",
    shape: interfaceName(MAX_BRIDGE_NAME),
    default: "weave",
    placeholder: "name",
    section: FRAMES,
    meaning: "the bridge that containers are attached to",
  }),
};
