import { bashCompletion } from "#cli/completion/bash.js";
import { type CompletedCommand, completionTable } from "#cli/completion/completion-table.js";
import { fishCompletion } from "#cli/completion/fish.js";
import { zshCompletion } from "#cli/completion/zsh.js";
import type { Shell } from "#cli/support/command-table.js";

const SCRIPTS: Readonly<Record<Shell, (commands: readonly CompletedCommand[]) => string>> = {
  bash: bashCompletion,
  zsh: zshCompletion,
  fish: fishCompletion,
};

/** The completion script for a shell. */
export const completionFor = (shell: Shell): string => SCRIPTS[shell](completionTable());
