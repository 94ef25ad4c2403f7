// Writes openapi.json from openapi.yaml: `node workloads/registry/render-openapi.ts`. The image holds only what tsc emits, and tsc
// emits an imported JSON file but not YAML; openapi.test.ts fails while the two differ.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';

/** The text that openapi.json must have. */
export function renderOpenapi(): string {
  const document: unknown = parse(readFileSync(join(import.meta.dirname, 'openapi.yaml'), 'utf8'));
  return `${JSON.stringify(document, null, 2)}\n`;
}

if (import.meta.main) writeFileSync(join(import.meta.dirname, 'openapi.json'), renderOpenapi());
