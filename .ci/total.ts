// Last step of .ci/run: adds up the counts that npm test and npm run e2e left in a file, one JSON object a line.
import { readFileSync } from 'node:fs';
import type { Totals } from './suite.ts';

const rows = readFileSync(process.argv[2] ?? '', 'utf8')
  .split('\n')
  .filter((line) => line !== '')
  .map((line) => JSON.parse(line) as Totals);
const sum = (key: keyof Totals): number => rows.reduce((total, row) => total + row[key], 0);
console.log(`${sum('passed')} passed, ${sum('failed')} failed, ${sum('skipped')} skipped`);
process.exitCode = sum('failed') > 0 || sum('passed') === 0 ? 1 : 0;
