import type { DocumentShape } from "#cli/json/shape.js";

/** The document of `weave doctor`. */
export const DOCTOR_SHAPE = {
  doctor: {
    commands: ["doctor"],
    fields: {
      Level: ["text", "the worst level: `ok`, `warn` or `fail`"],
      Running: ["boolean", "whether a router of this host answers"],
      Milliseconds: ["number", "how long all checks took"],
      "Findings[].Check": ["text", "name of the check"],
      "Findings[].Level": ["text", "`ok`, `warn` or `fail`"],
      "Findings[].What": ["text", "what was found"],
      "Findings[].Cause": ["text?", "why it matters, or why it is so"],
      "Findings[].Remedy": ["text?", "what helps"],
    },
  },
} as const satisfies Readonly<Record<string, DocumentShape>>;
