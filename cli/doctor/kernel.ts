import { type DoctorCheck, ok } from "#cli/doctor/check.js";
import { errorText } from "#src/errors.js";
import { run } from "#src/linux/exec.js";
import { isRoot, NOT_ROOT } from "#src/root.js";

/** Interfaces that weave makes on a host; here in a network namespace that ends with the command. */
const TRY =
  "ip link add weave-a type veth peer name weave-b && ip link add weave-c type bridge && ip link set weave-a master weave-c";

/** Whether the kernel makes the interfaces that weave needs: veth pairs, bridges, their ports. */
export const kernelCheck: DoctorCheck = {
  name: "kernel",
  async run() {
    if (!isRoot()) throw new Error(NOT_ROOT);
    try {
      await run("unshare", ["--net", "sh", "-c", TRY]);
      return [ok("makes veth pairs, bridges and network namespaces")];
    } catch (error) {
      return [
        {
          level: "fail",
          what: "the kernel does not make a veth pair on a bridge in a new network namespace",
          cause: errorText(error).replaceAll("\n", " "),
          remedy: "as root: modprobe veth; modprobe bridge; in a container launch with --privileged",
        },
      ];
    }
  },
};
