import type { DocumentShape, Field } from "#cli/json/shape.js";

type Fields = Readonly<Record<string, Field>>;

/** Figures of a series of probes, below a path. */
const figures = (path: string, of: string): Fields => ({
  [`${path}.Sent`]: ["number", `probes ${of}`],
  [`${path}.Answered`]: ["number", "how many of them were answered"],
  [`${path}.LossPercent`]: ["number", "how many were not, in percent"],
  [`${path}.MinMs`]: ["number?", "shortest round trip in milliseconds; null: none was answered"],
  [`${path}.MedianMs`]: ["number?", "the median"],
  [`${path}.MaxMs`]: ["number?", "the longest"],
});

/** A peer, or a container with its host, below a path. */
const place = (path: string, what: string): Fields => ({
  [`${path}.Name`]: ["text", `${what}: its name or id, or as typed`],
  [`${path}.Kind`]: ["text", "`peer` or `container`"],
  [`${path}.Peer`]: ["text", "name of the peer, or of the container's host"],
  [`${path}.NickName`]: ["text", "its nickname"],
  [`${path}.Address`]: ["text?", "address that is probed; null for a peer"],
  [`${path}.Mac`]: ["text?", "MAC of its interface"],
  [`${path}.Others[]`]: ["text", "a further address of the name"],
  [`${path}.Silent`]: ["text?", "why its host reports nothing of it"],
  [`${path}.Interface?.Id`]: ["text", "`weave:expose` for the host, id of a container, or name of a namespace"],
  [`${path}.Interface?.State`]: ["text", "`running`, `paused` or `ended`"],
  [`${path}.Interface?.Addresses[]`]: ["text", "address in CIDR notation"],
  [`${path}.Interface?.Port`]: ["text?", "its port of the bridge"],
  [`${path}.Interface?.PortState`]: ["text?", "state of the port: `forwarding` where frames pass"],
  [`${path}.Interface?.Isolated`]: ["boolean", "whether the port is cut off from the overlay"],
  [`${path}.Interface?.Up`]: ["boolean", "whether the interface inside is up"],
  [`${path}.Interface?.Mtu`]: ["number?", "its MTU in bytes"],
  ...figures(`${path}.Interface?.Arp`, "from its own host's bridge"),
});

/** A way that is taken from a host, below a path. */
const way = (path: string): Fields => ({
  [`${path}Via`]: ["text?", "name of the next host; null: no route"],
  [`${path}ViaNickName`]: ["text?", "its nickname"],
  [`${path}Carrier`]: ["text?", "carrier of that leg: `fastdp`, `sleeve`, `stream`"],
  [`${path}Encrypted`]: ["boolean?", "whether it is encrypted"],
  [`${path}Mtu`]: ["number?", "bytes of the largest packet that is not cut"],
  [`${path}Reason`]: ["text?", "why no carrier works, or not the preferred one"],
});

/** The documents of `weave ping` and `weave trace`. */
export const PROBE_SHAPES = {
  ping: {
    commands: ["ping"],
    fields: {
      ...place("Target", "the target"),
      Here: ["boolean", "whether it is on this host"],
      ...way(""),
      "Probes[].Host": ["number?", "round trip to the host in milliseconds; null: unanswered, or not sent"],
      "Probes[].Container": ["number?", "the same to the container"],
      ...figures("Host?", "to the host; null for this one"),
      ...figures("Container?", "to the container; null for a peer"),
      Problem: ["text?", "why nothing answers; null: something does"],
      Next: ["text?", "what helps"],
    },
  },
  trace: {
    commands: ["trace"],
    fields: {
      Reached: ["boolean", "whether the far end answers"],
      ...place("From", "the near end"),
      "Legs[].Step": ["number", "number of the step; the near end is the first"],
      "Legs[].Peer": ["text", "name of the host where the leg begins"],
      "Legs[].NickName": ["text", "its nickname"],
      ...way("Legs[]."),
      "Legs[].Silent": ["text?", "why that host reports nothing"],
      ...figures("Legs[].Small?", "to the next host; null: none was sent"),
      ...figures("Legs[].Full?", "of full size to the next host"),
      "Legs[].FullBytes": ["number?", "that size in bytes"],
      ...place("To", "the far end"),
      ...figures("EndToEnd.Host?", "from the host of the near end to that of the far end"),
      ...figures("EndToEnd.Container?", "from the host of the near end to the container"),
      "End?.Step": ["number", "the step at which frames end"],
      "End?.Why": ["text", "the reason"],
      "End?.Next": ["text", "what helps"],
      "Notes[].Step": ["number", "a step where something is wrong although frames pass"],
      "Notes[].Why": ["text", "what it is"],
      "Notes[].Next": ["text", "what helps"],
    },
  },
} as const satisfies Readonly<Record<string, DocumentShape>>;
