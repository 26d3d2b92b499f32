import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import * as z from "zod/mini";
import { installedFile } from "#src/installation.js";

/** A file of the page. */
export interface PageFile {
  readonly type: string;
  readonly text: string;
}

/** What scripts/build/page.mjs writes beside the files: each name has the hash of its contents. */
const LIST = z.object({ build: z.string(), page: z.string(), files: z.array(z.string()) });

const TYPES: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  css: "text/css; charset=utf-8",
  svg: "image/svg+xml",
};

/** The files of the page, read once, when the first is asked for. */
export class PageFiles {
  readonly #list: string | undefined;
  #loaded:
    | { readonly build: string; readonly page: PageFile; readonly assets: ReadonlyMap<string, PageFile> }
    | undefined;

  /** @param list the file that names the others; by default that of this installation */
  constructor(list?: string) {
    this.#list = list;
  }

  /** Names the versions of all files. @throws WEAVE_INSTALLATION when files are missing */
  get build(): string {
    return this.#load().build;
  }

  /** The document. @throws WEAVE_INSTALLATION when files are missing */
  get page(): PageFile {
    return this.#load().page;
  }

  /** @throws WEAVE_INSTALLATION when files are missing */
  asset(name: string): PageFile | undefined {
    return this.#load().assets.get(name);
  }

  #load() {
    if (this.#loaded === undefined) {
      const list = this.#list ?? installedFile("#page/files.json");
      const { build, page, files } = LIST.parse(JSON.parse(readFileSync(list, "utf8")));
      const read = (name: string): PageFile => ({
        type: TYPES[name.slice(name.lastIndexOf(".") + 1)],
        text: readFileSync(join(dirname(list), name), "utf8"),
      });
      this.#loaded = { build, page: read(page), assets: new Map(files.map((name) => [name, read(name)])) };
    }
    return this.#loaded;
  }
}
