// Where built programs lie: <cache>/<go|java>/<group>-<hash>/<program>, the hash being that of the group's folder (go.mod,
// go.sum and any Go file; pom.xml), so a changed version is a new folder and an unchanged one is never made again.
// Called by parts.ts to find programs, and by build.ts and maven.ts to place them.

import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { cacheFolder } from './settings.ts';

/** A folder of pins, and the language that its name stands under. */
export interface PinnedGroup {
  readonly kind: 'go' | 'maven';
  readonly group: string;
}

const known = new Map<string, string>();

function languageOf({ kind }: PinnedGroup): string {
  return kind === 'go' ? 'go' : 'java';
}

/** The folder of a group's pins (go.mod or pom.xml) in the repository. */
export function groupSource(pinned: PinnedGroup): string {
  return join(import.meta.dirname, languageOf(pinned), pinned.group);
}

/** The folder of a group's programs in the cache; it need not exist yet. */
export function groupFolder(pinned: PinnedGroup): string {
  const before = known.get(pinned.group);
  if (before !== undefined) return before;
  const hash = createHash('sha256');
  const source = groupSource(pinned);
  for (const file of readdirSync(source).toSorted()) {
    hash
      .update(file)
      .update('\0')
      .update(readFileSync(join(source, file)))
      .update('\0');
  }
  const folder = join(cacheFolder(), languageOf(pinned), `${pinned.group}-${hash.digest('hex').slice(0, 12)}`);
  known.set(pinned.group, folder);
  return folder;
}

/** Removes a group's folders of other versions, once the present one is complete: each weighs up to 500 MB. */
export function dropOldVersions(pinned: PinnedGroup): void {
  const root = join(cacheFolder(), languageOf(pinned));
  if (!existsSync(root)) return;
  const keep = groupFolder(pinned);
  for (const entry of readdirSync(root)) {
    const isSameGroup = entry.slice(0, entry.lastIndexOf('-')) === pinned.group;
    if (isSameGroup && join(root, entry) !== keep) rmSync(join(root, entry), { recursive: true, force: true });
  }
}
