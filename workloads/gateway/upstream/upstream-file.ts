// Messages of clients that the bus does not take now, kept in files until it does: appended and synced before a client is told `taken`, read
// back in order, bounded. A life that follows on the same volume finds what the one before it left. upstream.ts writes and replays.
// A segment is one JSON line a record; it goes once all of it is with the bus, so that a crash in between publishes some of it twice,
// which the handlers' side drops by key.
import { mkdir, open, readFile, readdir, stat, unlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { BusRecord } from '../../bus/port.ts';
import type { Log } from '../../runtime/log.ts';

/** A segment ends once it has grown past this: it is read back as a whole. */
export const SEGMENT_BYTES = 1024 * 1024;
const SEGMENT = /^upstream-(\d{12})\.log$/;

interface Segment {
  readonly path: string;
  bytes: number;
}
export interface UpstreamFileOptions {
  /** Of this gateway alone; made when it is not there. */
  readonly dir: string;
  readonly bytesMax: number;
  /** All records are of this bus topic. */
  readonly topic: string;
  readonly log: Log;
}

export class UpstreamFile {
  readonly #options: UpstreamFileOptions;
  readonly #segments: Segment[];
  #serial: number;
  /** Of the last segment, while it is written. */
  #handle: FileHandle | null = null;
  /** Writes and ends of segments, one after the other. */
  #tail: Promise<unknown> = Promise.resolve();

  private constructor(options: UpstreamFileOptions, segments: Segment[], serial: number) {
    this.#options = options;
    this.#segments = segments;
    this.#serial = serial;
  }

  /** Finds what a former life left. Rejects when the folder cannot be used. */
  static async open(options: UpstreamFileOptions): Promise<UpstreamFile> {
    const { dir } = options;
    await mkdir(dir, { recursive: true });
    const names = (await readdir(dir)).filter((name) => SEGMENT.test(name)).toSorted((a, b) => (a < b ? -1 : 1));
    const segments = await Promise.all(
      names.map(async (name) => ({ path: join(dir, name), bytes: (await stat(join(dir, name))).size })),
    );
    const last = names.at(-1);
    if (last !== undefined) options.log.info({ segments: names.length }, 'upstream messages of a former life found');
    return new UpstreamFile(options, segments, last === undefined ? 0 : Number(SEGMENT.exec(last)![1]));
  }

  get isEmpty(): boolean {
    return this.#segments.length === 0;
  }
  get bytes(): number {
    return this.#segments.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Keeps these; `full`: none of them. Resolves once they are synced; rejects as the disk does, outcome then unknown. */
  append(records: readonly BusRecord[]): Promise<'kept' | 'full'> {
    return this.#next(async () => {
      const bytes = Buffer.from(records.map(lineOf).join(''));
      if (this.bytes + bytes.length > this.#options.bytesMax) return 'full';
      const segment = await this.#writable();
      try {
        await this.#handle!.appendFile(bytes);
        segment.bytes += bytes.length;
        await this.#handle!.datasync();
      } catch (error) {
        await this.#endSegment(); // a torn line may be in it: nothing is written behind one
        segment.bytes = (await stat(segment.path)).size;
        throw error;
      }
      if (segment.bytes >= SEGMENT_BYTES) await this.#endSegment();
      return 'kept';
    });
  }

  /** The oldest segment's records; nothing is written to it any more. Empty: there is none. */
  oldest(): Promise<readonly BusRecord[]> {
    return this.#next(async () => {
      const [segment] = this.#segments;
      if (segment === undefined) return [];
      if (this.#segments.length === 1) await this.#endSegment();
      return this.#parse(await readFile(segment.path, 'utf8'), segment.path);
    });
  }

  /** The bus has all of the oldest segment. */
  dropOldest(): Promise<void> {
    return this.#next(async () => {
      const [segment] = this.#segments;
      if (segment === undefined) return;
      await unlink(segment.path);
      this.#segments.shift();
    });
  }

  close(): Promise<void> {
    return this.#next(() => this.#endSegment());
  }

  #next<T>(run: () => Promise<T>): Promise<T> {
    const done = this.#tail.then(run);
    this.#tail = done.catch(() => {}); // whoever asked is told
    return done;
  }

  async #writable(): Promise<Segment> {
    if (this.#handle !== null) return this.#segments.at(-1)!;
    const { dir } = this.#options;
    const path = join(dir, `upstream-${String(++this.#serial).padStart(12, '0')}.log`);
    this.#handle = await open(path, 'a');
    const folder = await open(dir, 'r');
    try {
      await folder.sync(); // the name must survive as well
    } finally {
      await folder.close();
    }
    const segment = { path, bytes: 0 };
    this.#segments.push(segment);
    return segment;
  }

  async #endSegment(): Promise<void> {
    const handle = this.#handle;
    this.#handle = null;
    await handle?.close();
  }

  /** A line that a crash cut off was never told `taken`, and is passed over. */
  #parse(text: string, path: string): readonly BusRecord[] {
    const records: BusRecord[] = [];
    for (const line of text.split('\n')) {
      if (line === '') continue;
      try {
        const [key, headers, value] = JSON.parse(line) as [string, Record<string, string>, string];
        records.push({ topic: this.#options.topic, key, headers, value: Buffer.from(value) });
      } catch {
        this.#options.log.warn({ path, characters: line.length }, 'torn line passed over');
      }
    }
    return records;
  }
}

/** Values are JSON texts. */
function lineOf({ key, headers, value }: BusRecord): string {
  return `${JSON.stringify([key, headers, Buffer.from(value).toString()])}\n`;
}
