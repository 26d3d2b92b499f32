/** Parameters of SGR, the control sequence of colours (ECMA-48, 8.3.117). */
const CODES = { faint: 2, red: 31, green: 32, yellow: 33 } as const;

export type Colour = keyof typeof CODES;

/** Whether texts for a terminal have colours: it has them, and `NO_COLOR` is not set to any value but "" (https://no-color.org). */
export const wantsColours = (): boolean => (process.env.NO_COLOR ?? "") === "" && process.env.TERM !== "dumb";

/** A text in a colour. */
export const inColour = (text: string, colour: Colour): string => `\u001B[${CODES[colour]}m${text}\u001B[0m`;
