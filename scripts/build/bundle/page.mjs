import { join } from "node:path";
import { buildPage } from "../page.mjs";

/** Writes `lib/page/`, the page for browsers. @returns esbuild's description of its inputs */
export const page = ({ out }) => buildPage(join(out, "lib/page"));
