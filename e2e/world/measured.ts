// How a scenario says what it measured: one line for each figure, which the README and the issue quote. Scenarios call it; nothing reads it
// back.

/** Prints `measured: <what>: <name> <figure>, …`. Numbers are printed with at most three digits that matter. */
export function measured(what: string, figures: Readonly<Record<string, number | string>>): void {
  const parts = Object.entries(figures).map(([name, figure]) => `${name} ${show(figure)}`);
  process.stdout.write(`measured: ${what}: ${parts.join(', ')}\n`);
}

function show(figure: number | string): string {
  if (typeof figure === 'string' || Number.isInteger(figure)) return String(figure);
  return String(Math.abs(figure) >= 100 ? Math.round(figure) : Number(figure.toPrecision(3)));
}

/** Runs something and prints how long it took; returns what it returned. */
export async function timed<T>(what: string, work: () => Promise<T>): Promise<T> {
  const startedAt = performance.now();
  const result = await work();
  measured(what, { seconds: (performance.now() - startedAt) / 1000 });
  return result;
}

/** The value below which a share of the values lie; NaN of none. @param share 0–1 */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

/** The most events within any window, per second. @param atMs when each happened */
export function peakRate(atMs: readonly number[], windowMs: number): number {
  const sorted = atMs.toSorted((a, b) => a - b);
  let first = 0;
  let most = 0;
  for (const [last, at] of sorted.entries()) {
    while (at - (sorted[first] ?? at) >= windowMs) first++;
    most = Math.max(most, last - first + 1);
  }
  return (most * 1000) / windowMs;
}
