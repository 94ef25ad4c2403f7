// Runs test files with node:test, prints what failed and what was skipped by name, and counts. Called by .ci/test.ts (npm test) and
// e2e/main.ts (npm run e2e); .ci/total.ts adds their counts up.
import { appendFileSync } from 'node:fs';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';

export interface Totals {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

export interface SuiteOptions {
  readonly files: readonly string[];
  /** Files at once. */
  readonly concurrency: number;
  /** One test may take this long, ms. */
  readonly timeoutMs: number;
  /** True prints every test; false prints failures and skips only. */
  readonly verbose: boolean;
}

interface TestEvent {
  readonly name: string;
  readonly file?: string;
  readonly skip?: string | boolean;
  readonly details: { readonly type?: string; readonly duration_ms: number; readonly error?: Error };
}

/** Runs the files; resolves with counts when all have ended. A file that ran no test counts as a failure of its own. */
export async function runSuite(options: SuiteOptions): Promise<Totals> {
  let passed = 0;
  let failed = 0;
  const skipped: string[] = [];
  const slow: { name: string; ms: number }[] = [];
  const stream = run({ files: [...options.files], concurrency: options.concurrency, timeout: options.timeoutMs });
  const count = (ok: boolean, event: TestEvent): void => {
    const isSkipped = event.skip !== undefined && event.skip !== false;
    if (event.details.type === 'suite' && !isSkipped) return;
    if (isSkipped) {
      skipped.push(`${event.name}${typeof event.skip === 'string' ? `: ${event.skip}` : ''}`);
    } else if (ok) passed++;
    else failed++;
    slow.push({ name: event.name, ms: event.details.duration_ms });
  };
  stream.on('test:pass', (event) => count(true, event));
  stream.on('test:fail', (event) => {
    count(false, event);
    if (!options.verbose) printFailure(event);
  });
  if (options.verbose) stream.compose(spec).pipe(process.stdout);
  else {
    stream.on('test:stderr', (event) => process.stderr.write(event.message));
    stream.resume();
  }
  await new Promise<void>((resolve, reject) => {
    stream.on('end', resolve);
    stream.on('error', reject);
  });
  for (const name of skipped) console.log(`skipped: ${name}`);
  slow.sort((a, b) => b.ms - a.ms);
  for (const { name, ms } of slow.slice(0, 3)) if (ms > 5000) console.log(`slow: ${(ms / 1000).toFixed(1)} s ${name}`);
  return { passed, failed, skipped: skipped.length };
}

function printFailure(event: TestEvent): void {
  const error = event.details.error;
  const cause = error?.cause instanceof Error ? error.cause : error;
  console.log(`FAILED: ${event.name} (${event.file ?? 'unknown file'})\n${cause?.stack ?? String(error)}\n`);
}

/** The closing line, and the same numbers to the file that .ci/run collects them in, when it asked for that. */
export function report(totals: Totals): void {
  const collect = process.env['PUSHCLUSTER_TEST_TOTALS'];
  if (collect !== undefined) appendFileSync(collect, `${JSON.stringify(totals)}\n`);
  console.log(`${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
}
