/** A line of `weave status`: labels end in column 16, as in the original. */
export const line = (label: string, value: string | number): string => `${label.padStart(15)}: ${value}\n`;
