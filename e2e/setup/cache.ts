// Where built programs lie: <cache>/go/<group>-<hash>/<program>, the hash being that of the group's folder
// (go.mod, go.sum and any Go file), so a changed version is a new folder and an unchanged one is never rebuilt.
// Called by parts.ts to find programs and by build.ts to place them.

import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { cacheFolder } from './settings.ts';

const known = new Map<string, string>();

/** The folder of a group's go.mod in the repository. */
export function groupSource(group: string): string {
  return join(import.meta.dirname, 'go', group);
}

/** The folder of a group's programs in the cache; it need not exist yet. */
export function groupFolder(group: string): string {
  const before = known.get(group);
  if (before !== undefined) return before;
  const hash = createHash('sha256');
  for (const file of readdirSync(groupSource(group)).toSorted()) {
    hash
      .update(file)
      .update('\0')
      .update(readFileSync(join(groupSource(group), file)))
      .update('\0');
  }
  const folder = join(cacheFolder(), 'go', `${group}-${hash.digest('hex').slice(0, 12)}`);
  known.set(group, folder);
  return folder;
}

/** Removes a group's folders of other versions, once the present one is complete: each weighs up to 500 MB. */
export function dropOldVersions(group: string): void {
  const root = join(cacheFolder(), 'go');
  if (!existsSync(root)) return;
  const keep = groupFolder(group);
  for (const entry of readdirSync(root)) {
    const isSameGroup = entry.slice(0, entry.lastIndexOf('-')) === group;
    if (isSameGroup && join(root, entry) !== keep) rmSync(join(root, entry), { recursive: true, force: true });
  }
}
