import { type DoctorCheck, type Finding, ok } from "#cli/doctor/check.js";
import { inSubnets, isIpv4, parseCidr } from "#src/address.js";
import { overlappingRoute } from "#src/linux/routes/routes.js";
import { hostOf } from "#src/net/host-port.js";

const REMEDY = "pick another --ipalloc-range and set it on all hosts";

/** Whether the range of addresses overlaps networks that this host, or another one, uses otherwise. */
export const rangeCheck: DoctorCheck = {
  name: "range",
  async run({ range, bridge, report, targets }) {
    if (range === "") return [ok("no range: IPAM is off")];
    const findings: Finding[] = [];
    const route = await overlappingRoute(range, bridge);
    if (route !== undefined)
      findings.push({
        level: "fail",
        what: `network ${range} overlaps with existing route ${route} on host`,
        cause: "packets to addresses in both go to one of the two",
        remedy: REMEDY,
      });
    const hosts = [
      ...targets,
      ...(report?.Router.Targets ?? []),
      ...(report?.Router.Connections ?? []).map(({ Address }) => Address),
    ];
    const inside = [...new Set(hosts.map((each) => hostOf(each) || each))].filter(
      (host) => isIpv4(host) && inSubnets(host, [parseCidr(range)]),
    );
    for (const host of inside)
      findings.push({
        level: "fail",
        what: `the address ${host} of another host is in the range ${range}`,
        cause: "a container could get the same address",
        remedy: REMEDY,
      });
    for (const { Why, Next } of report?.IPAM?.OtherRanges ?? [])
      findings.push({ level: "fail", what: Why, cause: "two ranges cannot be one network", remedy: Next });
    return findings.length > 0 ? findings : [ok(`${range} overlaps no route of this host`)];
  },
};
