// Reads the logs of publishers and clients and compares them. As a program: `node e2e/fleet/report.ts <clients' folder> <publisher log> …` prints
// one JSON object and ends with 1 when anything was lost, doubled, out of order or strange.
import { readFileSync } from 'node:fs';
import { compare } from './compare.ts';
import type { Audience, Comparison, Dead, Published } from './compare.ts';
import type { PublishedLine } from './publish.ts';
import { readReceivedLogs } from './received-log.ts';

/** Accepted publications of a publisher's log, and the keys of those whose outcome nobody knows. */
export function readPublished(file: string): { accepted: Published[]; unknownKeys: string[] } {
  const lines = readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as PublishedLine);
  const accepted = lines.flatMap(({ id, key, class: deliveryClass, to, tMs, attributes }) => {
    const base = { key, class: deliveryClass, to, tMs };
    return id === null ? [] : [{ id, ...base, ...(attributes === undefined ? {} : { attributes }) }];
  });
  return { accepted, unknownKeys: lines.filter(({ outcome }) => outcome === 'unknown').map(({ key }) => key) };
}

/** @param options.audience default: every client that has a log hears every topic */
export function compareLogs(options: {
  clients: string;
  publishers: readonly string[];
  audience?: Omit<Audience, 'devices'>;
  dead?: readonly Dead[];
}): Comparison {
  const logs = readReceivedLogs(options.clients);
  const published = options.publishers.map(readPublished);
  const unknownKeys = new Set(published.flatMap((one) => one.unknownKeys));
  return compare(
    published.flatMap((one) => one.accepted),
    logs,
    { devices: [...logs.keys()], ...options.audience },
    { unknownKeys, ...(options.dead === undefined ? {} : { dead: options.dead }) },
  );
}

/** One line for a scenario's output. */
export function describeComparison(comparison: Comparison): string {
  const { published, owed, delivered, dead, lost, doubled, outOfOrder, strangers, p50Ms, p99Ms, maxMs } = comparison;
  return (
    `published ${published}, owed ${owed}, delivered ${delivered}, dead ${dead}, lost ${lost.length}, doubled ${doubled.length}, ` +
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
