/** Parameters of SGR, the control sequence of colours (ECMA-48, 8.3.117). */
const CODES = { green: 32, yellow: 33, red: 31 } as const;

export type Colour = keyof typeof CODES;

/** Whether colours are used: on a terminal that has them, unless `NO_COLOR` is set to any value but "" (https://no-color.org). */
const hasColours = (): boolean =>
  process.stdout.isTTY === true && (process.env.NO_COLOR ?? "") === "" && process.env.TERM !== "dumb";

/** A text in a colour on a terminal; the text alone elsewhere. */
export const coloured = (text: string, colour: Colour): string =>
  hasColours() ? `\u001B[${CODES[colour]}m${text}\u001B[0m` : text;
