import { offSwitch, flag as row, toggle } from "#src/flag.js";
import type { Shape } from "#src/shape.js";

/** Section of the flags in help. */
export const FLAGS = "Flags";
/** A flag with a value; undefined when it is missing. */
export const value = <T>(flag: string, placeholder: string, shape: Shape<T>, meaning: string) =>
  row<T | undefined>({
    flag,
    placeholder,
    shape: shape as Shape<T | undefined>,
    default: undefined,
    section: FLAGS,
    meaning,
  });
/** A switch that is off by default. */
export const on = (flag: string, meaning: string) => toggle(flag, FLAGS, meaning);
/** A switch that is on by default. */
export const off = (flag: string, meaning: string) => offSwitch(flag, FLAGS, meaning);
