import { readFileSync } from "node:fs";
import { type DoctorCheck, ok } from "#cli/doctor/check.js";

const FOLDER = "/proc/sys/net/netfilter";
/** Fill of the table from which new connections are soon lost, and are lost at a burst. */
const FULL = { warn: 0.8, fail: 0.95 };

/** How full the kernel's table of tracked connections is: when it is full, new connections of containers are dropped. */
export const trackingCheck: DoctorCheck = {
  name: "tracking",
  run() {
    const [count, max] = [read("nf_conntrack_count"), read("nf_conntrack_max")];
    if (count === undefined || max === undefined) return [ok("connections are not tracked")];
    const what = `${count} of ${max} entries of the table of connections are in use`;
    if (count < max * FULL.warn) return [ok(what)];
    return [
      {
        level: count < max * FULL.fail ? "warn" : "fail",
        what,
        cause: "when it is full, the kernel drops packets of new connections ('nf_conntrack: table full' in dmesg)",
        remedy: `as root: sysctl -w net.netfilter.nf_conntrack_max=${max * 2}; /etc/sysctl.d/ keeps it`,
      },
    ];
  },
};

function read(name: string): number | undefined {
  try {
    return Number(readFileSync(`${FOLDER}/${name}`, "utf8"));
  } catch {
    return undefined;
  }
}
