import { hostname } from "node:os";
import { MAX_NICKNAME, nicknameShape } from "#mesh/peer.js";
import { flag, offSwitch, toggle } from "#src/flag.js";
import { cidr, filePath, hostAddress } from "#src/flag-shapes.js";
import { parseMac } from "#src/mac.js";
import { accepts, commaList, onOff, optional, orEmpty, text, whole } from "#src/shape.js";

const PEERS = "Peers and encryption";
/** Maximum characters of the password. */
export const MAX_PASSWORD = 1_024;

/** Flags of the mesh of peers. */
export const PEER_FLAGS = {
  name: flag({
    flag: "name",
    shape: optional(text("six hexadecimal octets such as 8a:3e:00:00:00:01, or short ::1", accepts(parseMac))),
    default: undefined,
    defaultText: "the bridge's MAC, the stored name, or one made of the machine's id",
    placeholder: "mac",
    section: PEERS,
    meaning: "the peer's name; clones of one machine need it",
  }),
  nickname: flag({
    flag: "nickname",
    shape: text(`1 to ${MAX_NICKNAME} visible characters`, (given) => nicknameShape.safeParse(given).success),
    default: () => hostname(),
    defaultText: "the host's name",
    placeholder: "nickname",
    section: PEERS,
    meaning: "the name that people read",
  }),
  host: flag({
    flag: "host",
    shape: orEmpty(hostAddress, "all"),
    default: "",
    defaultText: "all addresses",
    placeholder: "address",
    section: PEERS,
    meaning: "listen at this address of the host, and connect from it",
  }),
  port: flag({
    flag: "port",
    env: "WEAVE_PORT",
    shape: whole(1, 65_535),
    default: 6_783,
    placeholder: "port",
    section: PEERS,
    meaning: "TCP for the mesh, UDP for frames",
  }),
  password: flag({
    flag: "password",
    env: "WEAVE_PASSWORD",
    shape: optional(
      text(`1 to ${MAX_PASSWORD} characters`, (given) => given.length >= 1 && given.length <= MAX_PASSWORD),
    ),
    default: undefined,
    defaultText: "none",
    placeholder: "password",
    secret: true,
    section: PEERS,
    meaning: "only peers with the same password can connect",
  }),
  passwordFile: flag({
    flag: "password-file",
    env: "WEAVE_PASSWORD_FILE",
    shape: optional(filePath),
    default: undefined,
    defaultText: "none",
    placeholder: "file",
    section: PEERS,
    meaning:
      "a file whose first line is the password, which keeps it out of the list of processes; --resume reads it again",
  }),
  encryption: flag({
    flag: "encryption",
    env: "WEAVE_ENCRYPTION",
    shape: onOff,
    default: true,
    defaultText: "on",
    placeholder: "on|off",
    section: PEERS,
    meaning: "off: frames in clear to peers that are launched with off too; not with a password",
  }),
  trustedSubnets: flag({
    flag: "trusted-subnets",
    shape: commaList<string>("IPv4 networks such as 10.0.0.0/8, with commas between", cidr),
    default: [],
    defaultText: "none",
    placeholder: "cidr,...",
    section: PEERS,
    meaning: "frames in clear to peers in these networks, if both ends trust each other",
  }),
  discovery: offSwitch("no-discovery", PEERS, "connect only to the named peers"),
  connectionLimit: flag({
    flag: "conn-limit",
    aliases: ["connlimit"],
    shape: whole(0, 4_096),
    default: 200,
    placeholder: "count",
    section: PEERS,
    meaning: "maximum number of connections; 0: no limit",
  }),
  resume: toggle("resume", PEERS, "use the targets of the last run instead of named peers"),
};
