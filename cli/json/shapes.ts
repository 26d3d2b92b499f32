import type { DocumentShape, FieldType } from "#cli/json/shape.js";
import { CAPTURE_SHAPES } from "#cli/json/shapes-of-captures.js";
import { DOCTOR_SHAPE } from "#cli/json/shapes-of-checks.js";
import { EVENTS_SHAPE } from "#cli/json/shapes-of-events.js";
import { PROBE_SHAPES } from "#cli/json/shapes-of-probes.js";
import { REPORT_SHAPES } from "#cli/json/shapes-of-reports.js";

/** Addresses of `attach`, `detach`, `expose` and `hide`. */
const ADDRESSES: DocumentShape = {
  commands: ["attach", "detach", "expose", "hide"],
  fields: {
    "Addresses[]": ["text", "address on the overlay, in CIDR notation"],
    "Warnings[]": ["text", "what the router warns of; standard error has it without `--json`"],
  },
};

/**
 * The documents that commands print with `--json`, by name: `Schema` is `weave.NAME/VERSION`. docs/json.md is made of this table, and a test
 * compares the output of each command with it.
 */
export const SHAPES = {
  addresses: ADDRESSES,
  bugreport: {
    commands: ["bugreport"],
    fields: { File: ["text", "path of the archive"], Bytes: ["number", "its size"] },
  },
  ...CAPTURE_SHAPES,
  config: {
    commands: ["config"],
    fields: { Argument: ["text", "argument that sends a call of `docker` through the proxy"] },
  },
  "dns-args": {
    commands: ["dns-args"],
    fields: { "Arguments[]": ["text", "argument of `docker run`; none when weaveDNS is off"] },
  },
  "dns-lookup": {
    commands: ["dns-lookup"],
    fields: {
      Name: ["text", "the name that was looked up, with its domain"],
      "Addresses[]": ["text", "IPv4 address; none for an unknown name"],
    },
  },
  "docker-bridge-ip": {
    commands: ["docker-bridge-ip"],
    fields: { Address: ["text", "address of Docker's bridge"] },
  },
  ...DOCTOR_SHAPE,
  env: {
    commands: ["env"],
    fields: {
      DOCKER_HOST: [
        "text?",
        "value for the shell; null: no router or no proxy here, and standard error has the reason",
      ],
      ORIG_DOCKER_HOST: ["text?", "value to restore later; null: the shell uses the proxy already"],
    },
  },
  ...EVENTS_SHAPE,
  error: {
    commands: [],
    fields: {
      Code: ["text", "[code](errors.md); `WEAVE_API` for an error without one of its own"],
      Message: ["text", "what failed, and why"],
      Next: ["text?", "what helps"],
      Status: ["number", "exit status of the command"],
    },
  },
  "ipam-explain": {
    commands: ["ipam explain"],
    fields: { "Lines[]": ["text", "a fact about owner, time and cause; `status ipam` has the data"] },
  },
  launch: {
    commands: ["launch"],
    fields: {
      Id: ["text", "process id of the supervisor, `weave.service`, or id of the container"],
      Supervision: ["text", "what starts the router again: `process`, `systemd` or `container`"],
    },
  },
  ...PROBE_SHAPES,
  ps: {
    commands: ["ps"],
    fields: {
      "Attachments[].Id": ["text", "`weave:expose` for the host, full id of a container, or name of a namespace"],
      "Attachments[].Mac": ["text", "MAC of its interface"],
      "Attachments[].Addresses[]": ["text", "address in CIDR notation"],
      "Missing[].Id": ["text", "a requested id that is not on this host"],
      "Missing[].Why": ["text", "the reason"],
    },
  },
  reload: {
    commands: ["reload"],
    fields: { LogLevel: ["text", "`debug`, `info`, `warn` or `error`"] },
  },
  rekey: {
    commands: ["rekey"],
    fields: { "Lines[]": ["text", "what happened"] },
  },
  rmpeer: {
    commands: ["rmpeer"],
    fields: {
      "Peers[].Peer": ["text", "as typed"],
      "Peers[].Addresses": ["number?", "number of addresses that were taken over; null after an error"],
      "Peers[].Error": ["text?", "why its addresses were not taken over"],
    },
  },
  setup: {
    commands: ["setup"],
    fields: {
      "Checks[].Name": ["text", "what was checked"],
      "Checks[].Result": ["text", "`ok`, `limited` (weave runs without it) or `missing`"],
      "Checks[].Text": ["text", "what was found"],
      "Install[]": ["text", "command that installs what is missing"],
    },
  },
  "setup-network-managers": {
    commands: ["setup --network-managers"],
    fields: { "Written[]": ["text", "path of a file that was written"] },
  },
  "setup-cni": {
    commands: ["setup-cni"],
    fields: {
      "Written[]": ["text", "path of a file that was written"],
      "Removed[]": ["text", "path of a file that was removed"],
      "Notes[]": ["text", "what stays as it was, and why"],
    },
  },
  "trust-forget": {
    commands: ["trust forget"],
    fields: { "Lines[]": ["text", "what was forgotten"] },
  },
  version: {
    commands: ["version"],
    fields: {
      Command: ["text", "version of this command"],
      Router: ["text?", "version of the running router; null: none answers"],
    },
  },
  ...REPORT_SHAPES,
} as const satisfies Readonly<Record<string, DocumentShape>>;

/** Words of the types in {@link SHAPES}, for the page. */
export const TYPES: Readonly<Record<FieldType, string>> = {
  text: "a string",
  time: "a string: ISO 8601, in UTC",
  number: "a number, exact in a double",
  boolean: "true or false",
  object: "an object that is described elsewhere",
};
