import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { importSource } from "../import-source.mjs";

/** Where shells look for a completion, below a `share` folder. */
const COMPLETIONS = {
  bash: "bash-completion/completions/weave",
  zsh: "zsh/site-functions/_weave",
  fish: "fish/vendor_completions.d/weave.fish",
};

/** Writes the man page and the completions of all shells to `share/`. */
export async function manual({ out }) {
  const { manPage } = await importSource("cli/manual/manual.ts");
  const { completionFor } = await importSource("cli/completion/scripts.ts");
  write(join(out, "share/man/man1/weave.1"), manPage());
  for (const [shell, path] of Object.entries(COMPLETIONS)) write(join(out, "share", path), completionFor(shell));
}

function write(path, text) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}
