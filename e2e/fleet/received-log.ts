// A client's own log: one line for each message that its application was given, `id stream offset tMs epoch key` (`-` where a message has
// none; the key is the publisher's, out of the body). Written by clients.ts, read by report.ts. Buffered; `flush` before it is read.
import { closeSync, openSync, readFileSync, readdirSync, writeSync } from 'node:fs';
import { join } from 'node:path';

export interface ReceivedLine {
  readonly id: string;
  readonly stream: string;
  /** Null: a live message. */
  readonly offset: number | null;
  readonly tMs: number;
  readonly epoch: string | null;
  readonly key: string | null;
}
export interface ReceivedLog {
  add(line: ReceivedLine): void;
  flush(): void;
  close(): void;
}

/** Opens `<folder>/<device>.log` to append to. */
export function openReceivedLog(folder: string, device: string): ReceivedLog {
  const fd = openSync(join(folder, `${device}.log`), 'a');
  let buffer = '';
  const flush = (): void => {
    if (buffer === '') return;
    writeSync(fd, buffer);
    buffer = '';
  };
  return {
    add(line) {
      buffer += `${line.id} ${line.stream} ${line.offset ?? '-'} ${line.tMs} ${line.epoch ?? '-'} ${line.key ?? '-'}\n`;
    },
    flush,
    close() {
      flush();
      closeSync(fd);
    },
  };
}

/** Every client's log of a folder, by device. A line that is cut short (the process was killed) ends its log. */
export function readReceivedLogs(folder: string): Map<string, ReceivedLine[]> {
  const logs = new Map<string, ReceivedLine[]>();
  for (const file of readdirSync(folder))
    if (file.endsWith('.log')) logs.set(file.slice(0, -4), parseReceivedLog(readFileSync(join(folder, file), 'utf8')));
  return logs;
}

export function parseReceivedLog(text: string): ReceivedLine[] {
  const lines: ReceivedLine[] = [];
  for (const row of text.split('\n').slice(0, -1)) {
    const [id, stream, offset, tMs, epoch, key] = row.split(' ');
    if (id === undefined || stream === undefined || tMs === undefined) break;
    lines.push({
      id,
      stream,
      offset: offset === '-' ? null : Number(offset),
      tMs: Number(tMs),
      epoch: epoch === undefined || epoch === '-' ? null : epoch,
      key: key === undefined || key === '-' ? null : key,
    });
  }
  return lines;
}
