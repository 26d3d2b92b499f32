/** CHANGELOG.md in the format of Keep a Changelog 1.1 (https://keepachangelog.com/en/1.1.0/): pure functions on its text. */

const HEADING = /^## \[([^\]]+)\](?: - \S+)?$/gm;

/** @returns {Map<string, { heading: string, body: string }>} sections by their version, in their order */
function sectionsOf(text) {
  const headings = [...text.matchAll(HEADING)];
  return new Map(
    headings.map((match, i) => {
      const end = headings[i + 1]?.index ?? text.length;
      return [match[1], { heading: match[0], body: text.slice(match.index + match[0].length, end).trim() }];
    }),
  );
}

/**
 * Returns the changes of a version, for release notes: its own section, or that of unreleased changes when it has none yet.
 *
 * @param {string} text of CHANGELOG.md
 * @param {string} version
 * @returns {{ body: string, isReleased: boolean }}
 * @throws Error when there are no changes
 */
export function changesOf(text, version) {
  const sections = sectionsOf(text);
  const own = sections.get(version);
  const found = own ?? sections.get("Unreleased");
  if (found === undefined || found.body === "")
    throw new Error(`CHANGELOG.md has no changes for ${version}: write them below "## [Unreleased]"`);
  return { body: found.body, isReleased: own !== undefined };
}

/**
 * Returns the text with the unreleased changes as those of a version, below an empty section of unreleased ones.
 *
 * @param {string} text of CHANGELOG.md
 * @param {string} version
 * @param {string} date YYYY-MM-DD
 * @throws Error when there are no unreleased changes, or the version has a section already
 */
export function withRelease(text, version, date) {
  const sections = sectionsOf(text);
  if (sections.has(version)) throw new Error(`CHANGELOG.md has a section of ${version} already`);
  if (!sections.get("Unreleased")?.body) throw new Error('CHANGELOG.md has no changes below "## [Unreleased]"');
  return text.replace(/^## \[Unreleased\]$/m, `## [Unreleased]\n\n## [${version}] - ${date}`);
}
