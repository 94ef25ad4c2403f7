// The records of one topic in memory: partitions of a growing log whose settled start is cut off. Used by in-process.ts.
import type { BusRecord, ReceivedRecord } from './port.ts';
import { sizeOf } from './record-size.ts';

export interface Partition {
  readonly records: ReceivedRecord[];
  /** Offset of the first record held, and of the next one to come. */
  start: number;
  end: number;
  /** Where `records` begins to count: records before it were dropped and wait for the next compaction. */
  cut: number;
}

export function newPartitions(count: number): readonly Partition[] {
  return Array.from({ length: count }, () => ({ records: [], start: 0, end: 0, cut: 0 }));
}

/** Records of one key share a partition, and so keep their order. */
export function appendTo(partitions: readonly Partition[], record: BusRecord): void {
  const index = hash(record.key) % partitions.length;
  const partition = partitions[index]!;
  partition.records.push({ ...record, partition: index, offset: partition.end });
  partition.end++;
}

/** FNV-1a. */
function hash(key: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) h = Math.imul(h ^ key.charCodeAt(i), 0x01000193) >>> 0;
  return h;
}

/** Up to `max` records from an offset on. */
export function batchFrom(partition: Partition, offset: number, max: number): readonly ReceivedRecord[] {
  const from = partition.cut + offset - partition.start;
  return partition.records.slice(from, from + max);
}

/** Frees records before `settled`; compacts when half of the array is gone, so that dropping costs O(1) a record. */
export function dropSettled(partition: Partition, settled: number): { records: number; bytes: number } {
  const records = Math.max(0, settled - partition.start);
  let bytes = 0;
  for (let i = 0; i < records; i++) bytes += sizeOf(partition.records[partition.cut + i]!);
  partition.start += records;
  partition.cut += records;
  if (partition.cut > partition.records.length / 2) {
    partition.records.splice(0, partition.cut);
    partition.cut = 0;
  }
  return { records, bytes };
}
