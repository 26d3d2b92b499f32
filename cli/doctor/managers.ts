import { type DoctorCheck, ok } from "#cli/doctor/check.js";
import { managersRemedy, networkManagers } from "#cli/support/network-managers.js";

/** Whether NetworkManager or systemd-networkd may change weave's interfaces. */
export const managersCheck: DoctorCheck = {
  name: "managers",
  async run({ bridge }) {
    const managers = await networkManagers(bridge);
    const names = (isSet: boolean) => managers.filter((each) => each.isSet === isSet).map(({ name }) => name);
    if (managers.length === 0) return [ok("neither NetworkManager nor systemd-networkd is in use")];
    if (names(false).length === 0) return [ok(`${names(true).join(" and ")}: weave's interfaces are left alone`)];
    const what = `${names(false).join(" and ")} may change weave's interfaces`;
    return [
      { level: "warn", what, cause: "a rule of theirs for all interfaces also takes weave's", remedy: managersRemedy },
    ];
  },
};
