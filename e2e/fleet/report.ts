// Reads the logs of publishers and clients and compares them. As a program: `node e2e/fleet/report.ts <clients' folder> <publisher log> …` prints
// one JSON object and ends with 1 when anything was lost, doubled, out of order or strange.
import { readFileSync } from 'node:fs';
import { compare } from './compare.ts';
import type { Audience, Comparison, Published } from './compare.ts';
import type { PublishedLine } from './publish.ts';
import { readReceivedLogs } from './received-log.ts';

/** Accepted publications of a publisher's log. */
export function readPublished(file: string): Published[] {
  const lines = readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as PublishedLine);
  return lines.flatMap(({ id, class: deliveryClass, to, tMs }) =>
    id === null ? [] : [{ id, class: deliveryClass, to, tMs }],
  );
}

/** @param audience default: every client that has a log hears every topic */
export function compareLogs(options: {
  clients: string;
  publishers: readonly string[];
  audience?: Audience;
}): Comparison {
  const logs = readReceivedLogs(options.clients);
  const audience = options.audience ?? { devices: [...logs.keys()] };
  return compare(options.publishers.flatMap(readPublished), logs, audience);
}

/** One line for a scenario's output. */
export function describeComparison(comparison: Comparison): string {
  const { published, owed, delivered, lost, doubled, outOfOrder, strangers, p50Ms, p99Ms, maxMs } = comparison;
  return (
    `published ${published}, owed ${owed}, delivered ${delivered}, lost ${lost.length}, doubled ${doubled.length}, ` +
    `out of order ${outOfOrder}, strangers ${strangers}, p50 ${p50Ms} ms, p99 ${p99Ms} ms, max ${maxMs} ms`
  );
}

if (import.meta.main) {
  const [clients, ...publishers] = process.argv.slice(2);
  if (clients === undefined || publishers.length === 0) {
    console.error("expected the folder of the clients' logs and at least one publisher log");
    process.exit(2);
  }
  const comparison = compareLogs({ clients, publishers });
  const { lost, doubled, ...figures } = comparison;
  const first = (list: typeof lost): unknown => ({ count: list.length, first: list.slice(0, 10) });
  console.log(JSON.stringify({ ...figures, lost: first(lost), doubled: first(doubled) }));
  const bad = lost.length + doubled.length + comparison.outOfOrder + comparison.strangers;
  process.exit(bad > 0 ? 1 : 0);
}
