// What a record counts for, in bytes: the same on every bus, for every bound.
import type { BusRecord } from './port.ts';

/** Characters of texts count as bytes, near enough. */
export function sizeOf(record: BusRecord): number {
  let bytes = record.value.length + record.key.length;
  for (const name in record.headers) bytes += name.length + record.headers[name]!.length;
  return bytes;
}
