// Keeps the image cache from growing with every build of the product: what no run has used for some days goes.
// Called by image-layer.ts and image.ts after they have added something.

import { readdirSync, rmSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';

const keepUnusedMs = 3 * 24 * 3_600_000;

/** Marks a file or folder as used now. */
export function markUsed(path: string): void {
  const now = new Date();
  utimesSync(path, now, now);
}

/** Removes the entries of a folder that nobody has marked as used for three days. */
export function dropUnused(folder: string): void {
  for (const entry of readdirSync(folder)) {
    const path = join(folder, entry);
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat !== undefined && Date.now() - stat.mtimeMs > keepUnusedMs) rmSync(path, { recursive: true, force: true });
  }
}
