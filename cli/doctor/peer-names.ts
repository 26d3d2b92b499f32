import { type DoctorCheck, type Finding, ok } from "#cli/doctor/check.js";

/** Whether names of peers are unique in the network. */
export const peerNamesCheck: DoctorCheck = {
  name: "names",
  run({ report }) {
    if (report === undefined) return [ok("known when a router runs")];
    const { Peers, NameConflicts } = report.Router;
    const findings: Finding[] = NameConflicts.map((what) => ({
      level: "fail",
      what,
      cause: "the host was reinstalled, or another machine uses its name",
      remedy: "launch one with --name; after a reinstallation 'weave trust forget' on each host that refuses it",
    }));
    const byNickname = new Map<string, string[]>();
    for (const { Name, NickName } of Peers) byNickname.set(NickName, [...(byNickname.get(NickName) ?? []), Name]);
    for (const [nickname, names] of byNickname)
      if (names.length > 1)
        findings.push({
          level: "warn",
          what: `${names.join(" and ")} have the nickname ${nickname}`,
          cause: "a command cannot know which of them a nickname means",
          remedy: "launch with --nickname, or use names",
        });
    return findings.length > 0 ? findings : [ok(`${Peers.length} peers, each with a name of its own`)];
  },
};
