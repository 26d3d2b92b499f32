import {
  ATTACH_FLAGS,
  CAPTURE_FLAGS,
  dbPrefix,
  EVENT_FLAGS,
  hostName,
  json,
  logLevel,
  PING_FLAGS,
  REKEY_FLAGS,
  SETUP_CNI_FLAGS,
  timeout,
} from "#cli/support/command-flags.js";
import { on, value } from "#cli/support/flag-rows.js";
import type { Rows } from "#src/flag.js";
import { text, whole } from "#src/shape.js";

/** A command's description in `weave help`, and its flags. */
export interface CommandRow {
  /** A sentence without a full stop. */
  readonly summary: string;
  /** The words after the command's name, for each of its forms; `{flags}` stands for its flags. */
  readonly forms: readonly string[];
  readonly flags?: Rows;
  /** Paragraphs for help and the man page. */
  readonly details?: readonly string[];
  readonly examples?: readonly string[];
}

/** Shells that `weave completion` has a script for. */
export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof SHELLS)[number];

/** All commands, in the order and groups of `weave help`. */
export const GROUPS = [
  {
    launch: {
      summary: "Start the router; return when it answers, and print the id of its supervisor",
      forms: ["[<flag> ...] [<peer> ...]"],
      examples: ["weave launch --password secret 192.0.2.10 192.0.2.11", "weave launch --ipalloc-range 10.2.0.0/16"],
    },
  },
  {
    connect: {
      summary: "Add peers to connect to",
      forms: ["{flags} [<peer> ...]"],
      flags: { replace: on("replace", "replace all peers that were added before") },
      examples: ["weave connect host2.example.org", "weave connect --replace 192.0.2.11 192.0.2.12:7000"],
    },
    forget: {
      summary: "Stop connecting to peers; live connections stay",
      forms: ["<peer> ..."],
      examples: ["weave forget host2.example.org"],
    },
  },
  {
    env: {
      summary: "Print shell commands that send Docker's client through the proxy",
      forms: ["{flags}"],
      flags: { json, restore: on("restore", "print the commands that undo it") },
      examples: ['eval "$(weave env)"', 'eval "$(weave env --restore)"'],
    },
    config: {
      summary: "Print the argument that sends one call of docker through the proxy",
      forms: ["{flags}"],
      flags: { json },
      examples: ["docker $(weave config) run -ti alpine"],
    },
  },
  {
    prime: {
      summary: "Wait until addresses can be allocated",
      forms: ["{flags}"],
      flags: { timeout },
      examples: ["weave prime --timeout 60"],
    },
  },
  {
    attach: {
      summary: "Attach a container or a network namespace to the overlay; print its addresses",
      forms: ["[<addr> ...] {flags} <container>"],
      flags: { json, ...ATTACH_FLAGS },
      examples: [
        "weave attach web1",
        "weave attach 10.32.0.9/12 --name db netns:red",
        "weave attach net:10.2.0.0/16 web1",
      ],
    },
    detach: {
      summary: "Remove addresses from a container, with the last one the interface; print them",
      forms: ["[<addr> ...] {flags} <container>"],
      flags: { json },
      examples: ["weave detach web1", "weave detach net:10.2.0.0/16 web1"],
    },
  },
  {
    expose: {
      summary: "Add addresses on the overlay to this host; print them",
      forms: ["[<addr> ...] {flags}"],
      flags: {
        json,
        name: hostName("a name for the addresses in weaveDNS"),
        withoutMasquerade: on("without-masquerade", "packets keep their source address on the way in and out"),
        timeout,
      },
      examples: ["weave expose", "weave expose 10.32.0.1/12 -h host1.weave.local"],
    },
    hide: {
      summary: "Remove addresses on the overlay from this host; print them",
      forms: ["[<addr> ...] {flags}"],
      flags: { json },
      examples: ["weave hide"],
    },
  },
  {
    "dns-args": {
      summary: "Print the arguments that point a container to weaveDNS, for docker run",
      forms: ["{flags}"],
      flags: { json },
      examples: ["docker run $(weave dns-args) -ti alpine"],
    },
    "dns-add": {
      summary: "Register a name for the addresses of a container, or for any addresses",
      forms: ["[<ip_address> ...] <container> [-h <name>]", "<ip_address> ... -h <name>"],
      flags: { name: hostName("the name; by default the container's own") },
      examples: ["weave dns-add web1 -h www", "weave dns-add 192.0.2.80 -h printer"],
    },
    "dns-remove": {
      summary: "Remove names",
      forms: ["[<ip_address> ...] <container> [-h <name>]", "<ip_address> ... -h <name>"],
      flags: { name: hostName("the name; by default all names of the container at those addresses") },
      examples: ["weave dns-remove web1 -h www"],
    },
    "dns-lookup": {
      summary: "Print the addresses of a name, one a line",
      forms: ["{flags} <name>"],
      flags: { json },
      examples: ["weave dns-lookup www"],
    },
    "docker-bridge-ip": {
      summary: "Print the address of Docker's bridge, without a newline",
      forms: ["{flags}"],
      flags: { json },
      examples: ["docker run --dns $(weave docker-bridge-ip) -ti alpine"],
    },
  },
  {
    status: {
      summary: "Show the router's status, or one section of it",
      forms: ["{flags} [targets | connections | peers | ipam | dns]"],
      flags: {
        json,
        watch: on("watch", "show it again and again, until Ctrl-C; with --json one line each time"),
        interval: value("interval", "seconds", whole(1, 3_600, "seconds"), "time between two of --watch; by default 2"),
      },
      examples: [
        "weave status",
        "weave status connections",
        "weave status peers --json",
        "weave status connections --watch",
      ],
    },
    report: {
      summary: "Print the router's full report, in JSON or by a template",
      forms: ["{flags}"],
      flags: { json, format: value("f", "format", text("a template"), "a template in Go's syntax, instead of JSON") },
      examples: [
        "weave report | jq .Router.Peers",
        "weave report -f '{{range .Router.Peers}}{{.NickName}}{{\"\\n\"}}{{end}}'",
      ],
    },
    events: {
      summary: "Show what happened on this host and, as other peers report, in the network",
      forms: ["{flags}"],
      flags: { json, ...EVENT_FLAGS },
      details: [
        "Times are those of this host; with --json they are in UTC. Without a router those up to the end of the last one are shown.",
        "A follower goes on when the router is restarted.",
      ],
      examples: [
        "weave events",
        "weave events -f --severity warning",
        "weave events --since 2h --peer host2",
        "weave events --json --kind link-down | jq -r '.Events[].Text'",
      ],
    },
    ps: {
      summary: "List the attachments of this host, one a line: id, MAC and addresses",
      forms: ["{flags} [<container> ...]"],
      flags: { json },
      examples: ["weave ps", "weave ps web1"],
    },
    identity: {
      summary: "Print this peer's name, the fingerprint of its identity, and its key",
      forms: ["{flags}"],
      flags: { json },
      details: ["Compare the fingerprint with that in 'weave trust' on another host: equal ones prove the same peer."],
      examples: ["weave identity", "weave identity --json | jq -r .Fingerprint"],
    },
    trust: {
      summary: "List which identity each peer's name belongs to on this host, or forget one",
      forms: ["[ls] {flags}", "forget <peer_id> ..."],
      flags: { json },
      details: [
        "A name belongs to the first identity that this host has seen with it, also while the peer is away. After 'trust forget' the next peer with the name is accepted: do this only for a host that was reinstalled, on each host that refuses it.",
      ],
      examples: ["weave trust", "weave trust forget host3"],
    },
    rekey: {
      summary: "Change the network's password on all hosts, without an interruption; or exclude peers by it",
      forms: ["{flags}", "status [--json]"],
      flags: { json, ...REKEY_FLAGS },
      details: [
        "Any host of the network can do this. Connections and frames go on. Hosts that restart use the new password, but their --password-file should be updated: 'weave status' shows where.",
        "Times have a unit: 90s, 15m, 12h, 7d.",
      ],
      examples: [
        "weave rekey --password-file /root/new",
        "weave rekey --exclude host7 </root/new",
        "weave rekey status",
      ],
    },
    ipam: {
      summary: "Explain which peer owns an address, or what a peer owns, since when and why",
      forms: ["explain {flags} [<ip_address> | <peer_id>]"],
      flags: { json },
      examples: ["weave ipam explain 10.32.0.9", "weave ipam explain host2"],
    },
  },
  {
    stop: { summary: "Stop the router; the bridge, attached containers and the database stay", forms: [""] },
    reload: {
      summary: "Have the running router apply another log level",
      forms: ["{flags}"],
      flags: { json, logLevel },
      details: [
        "Until the next launch. SIGHUP, 'systemctl reload weave' and 'docker kill -s HUP weave' do the same, with the level of the last launch or reload. The network's password is changed by 'weave rekey'; all other options need 'weave launch' with them.",
      ],
      examples: ["weave reload --log-level debug"],
    },
    restart: {
      summary: "Start the router again, with the options of the last launch: the last step of an upgrade",
      forms: ["{flags}"],
      flags: {
        image: value(
          "image",
          "image",
          text("the name of an image", (name) => name !== ""),
          "for a router in a container: from this image; by default from the present one",
        ),
      },
      examples: ["weave restart", "weave restart --image weave:0.2.0"],
    },
    reset: {
      summary: "Stop the router, transfer its addresses and remove all traces of weave on this host",
      forms: ["{flags}"],
      flags: { force: on("force", "also when the router does not run, and cannot transfer its addresses") },
    },
    backup: {
      summary: "Write the state of this host's router to one file: identity, addresses, names, targets, kept options",
      forms: ["{flags} <file>"],
      flags: { dbPrefix },
      details: [
        "The router may run. An existing file is not overwritten; - is standard output. The file contains private keys.",
      ],
      examples: ["weave backup /root/weave.backup", "weave backup - | ssh backup@store 'cat >host1.weave'"],
    },
    restore: {
      summary: "Replace the state of this host's router, which must be stopped, by that of a backup",
      forms: ["{flags} <file>"],
      flags: {
        force: on("force", "also the backup of another machine, which must be gone for good"),
        dbPrefix,
      },
      details: [
        "A backup that cannot be used changes nothing. The replaced database stays beside the new one; - is standard input.",
      ],
      examples: ["weave restore /root/weave.backup"],
    },
    rmpeer: {
      summary: "Take over the addresses of peers that are dead for good",
      forms: ["{flags} <peer_id> ..."],
      flags: { json, force: on("force", "also peers that are reachable") },
      examples: ["weave rmpeer host3"],
    },
  },
  {
    ping: {
      summary: "Probe a peer, or a container and its host, by the path of frames; print the round trips",
      forms: ["{flags} <target>"],
      flags: { json, ...PING_FLAGS },
      details: [
        "Probes are frames like those of containers: by the same carriers, over the same relays. A container is probed by ARP, which its kernel answers whatever its firewall drops. The exit status is 1 if nothing answers.",
      ],
      examples: ["weave ping host2", "weave ping web1 -c 20 -i 0.2", "weave ping 10.32.0.9 --json"],
    },
    trace: {
      summary: "Show each step of the way of frames between two containers or hosts, where it ends and why",
      forms: ["{flags} [<target>] <target>"],
      flags: { json },
      details: [
        "Without a first target from this host. Each router on the way is asked for its next hop, and probes it. The exit status is 2 if the way ends before the far end, and 1 if one of the two is not known.",
      ],
      examples: ["weave trace web1 db", "weave trace 10.32.0.9", "weave trace host1 host3 --json"],
    },
    doctor: {
      summary: "Find what is wrong with this host, its router and its paths to other hosts; change nothing",
      forms: ["{flags} [<peer> ...]"],
      flags: { json, all: on("all", "show what is well, too") },
      details: [
        "Each finding has a level, ok, warn or fail, and a cause and a remedy. The exit status is 2 if one is fail, and 0 otherwise. It works on a host where no router runs: peers that are named are tried by TCP.",
      ],
      examples: [
        "weave doctor",
        "weave doctor host2 host3",
        "weave doctor --json | jq '.Findings[] | select(.Level != \"ok\")'",
      ],
    },
    capture: {
      summary: "Capture the frames of a peer, a container or an interface of weave, decrypted, as pcapng or as lines",
      forms: ["{flags} <capture_target> [<filter> ...]"],
      flags: { json, ...CAPTURE_FLAGS },
      details: [
        "A peer is named by its nickname or name, a container by name, id, address or netns:NAME; peer:, container: or interface: in front of a name chooses. On a terminal each frame is a line; on a pipe, and with -w, the output is pcapng, for Wireshark and tshark.",
        "A filter has the words host ADDRESS, net ADDRESS/LENGTH, port NUMBER, tcp, udp, icmp, icmp6, arp, ip, ip6, and, or, not and parentheses, with the meaning that they have in tcpdump.",
      ],
      examples: [
        "weave capture host2",
        "weave capture web1 -w /root/web1.pcapng --seconds 30 tcp port 80",
        "weave capture host2 -c 100 'icmp or arp'",
        "weave capture host2 | wireshark -k -i -",
      ],
    },
    bugreport: {
      summary: "Write one archive with all that is known of this host's weave, without secrets",
      forms: ["{flags} [<file>]"],
      flags: { json },
      details: [
        "Status, report, options, the end of the logs, facts about kernel, network and engine, and the output of 'weave doctor'. It works without a router. Passwords, tokens and private keys are removed; names and addresses stay. - is standard output.",
      ],
      examples: ["weave bugreport", "weave bugreport /tmp/host1.tar.gz"],
    },
    setup: {
      summary: "Check whether this host meets the requirements; without a flag change nothing",
      forms: ["{flags}"],
      flags: {
        json,
        networkManagers: on(
          "network-managers",
          "have NetworkManager and systemd-networkd leave weave's interfaces alone, by a file of each that is here",
        ),
      },
    },
    "setup-cni": {
      summary:
        "Install the CNI plugins weave-net and weave-ipam, and a network configuration, for containerd, CRI-O, Podman",
      forms: ["{flags}"],
      flags: { json, ...SETUP_CNI_FLAGS },
      examples: ["weave setup-cni", "weave setup-cni --remove"],
    },
    completion: {
      summary: "Print the completion of weave's commands and flags for a shell",
      forms: [SHELLS.join("|")],
      details: [
        "A package installs it; otherwise store the script where the shell looks for it, or load it in the shell's own start file, as in the first example for bash.",
      ],
      examples: [
        "source <(weave completion bash)",
        "weave completion bash >/etc/bash_completion.d/weave",
        "weave completion zsh >/usr/local/share/zsh/site-functions/_weave",
        "weave completion fish >/etc/fish/completions/weave.fish",
      ],
    },
    version: {
      summary: "Print the versions of this command and of the running router",
      forms: ["{flags}"],
      flags: { json },
    },
    help: {
      summary: "Show all commands, or one with its flags",
      forms: ["[<command>]"],
      examples: ["weave help attach"],
    },
  },
] as const satisfies readonly Readonly<Record<string, CommandRow>>[];

type UnionOf<T> = T extends readonly (infer U)[] ? U : never;
type Merged<U> = (U extends unknown ? (each: U) => void : never) extends (all: infer A) => void ? A : never;

/** All commands by their names. */
export const COMMANDS = Object.assign({}, ...GROUPS) as Merged<UnionOf<typeof GROUPS>>;
