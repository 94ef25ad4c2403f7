import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { test } from 'node:test';

/** Every file that client.ts brings with it, types left out. */
function reach(file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen;
  seen.add(file);
  for (const [, path] of readFileSync(file, 'utf8').matchAll(/^import (?!type)[^;]*from '([^']+)';/gm)) {
    assert.ok(
      path!.startsWith('.'),
      `${relative(import.meta.dirname, file)} imports ${path}: a browser has no packages`,
    );
    reach(join(dirname(file), path!), seen);
  }
  return seen;
}

test('client.ts and the web storage run in a browser: nothing of Node and no package is imported', () => {
  const files = [
    ...reach(join(import.meta.dirname, 'client.ts')),
    ...reach(join(import.meta.dirname, 'storage-web.ts')),
  ];
  assert.ok(files.length > 10);
  for (const file of files) {
    const text = readFileSync(file, 'utf8').replaceAll(/^import type .*$/gm, '');
    assert.doesNotMatch(text, /from 'node:|\bBuffer\b|\bprocess\./, relative(import.meta.dirname, file));
  }
});
