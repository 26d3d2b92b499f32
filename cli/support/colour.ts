import { type Colour, inColour, wantsColours } from "#src/colour.js";

/** A text in a colour on a terminal that has colours; the text alone elsewhere. */
export const coloured = (text: string, colour: Colour): string =>
  process.stdout.isTTY === true && wantsColours() ? inColour(text, colour) : text;
