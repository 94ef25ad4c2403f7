// Bodies that streams keep elsewhere (R6): one message to thousands of devices has its body once in the store, and its entries name it.
// read-queue.ts has them filled in before anyone sees the entries. A little is remembered, since devices that read the same message
// read it at the same time; records never change.
import type { AppId, MessageId } from '../../protocol/ids.ts';
import { isBodyElsewhere, recordMessageId, withBody } from '../../protocol/record.ts';
import type { ReadOutcome, Store, StreamEntry } from '../../store/port.ts';

/** Bytes of records remembered. */
export const BODIES_BYTES_MAX = 4 * 1024 * 1024;

export class Bodies {
  readonly #store: Pick<Store, 'bodies'>;
  /** By app and id; the one used last is last. */
  readonly #known = new Map<string, Uint8Array>();
  #bytes = 0;

  constructor(store: Pick<Store, 'bodies'>) {
    this.#store = store;
  }

  /** The same outcomes with every body that is still kept; an entry whose body is gone stays as it is. Rejects as the store does. */
  async fill(apps: readonly AppId[], outcomes: readonly ReadOutcome[]): Promise<readonly ReadOutcome[]> {
    const wanted = new Map<AppId, Set<MessageId>>();
    outcomes.forEach(({ entries }, i) => {
      for (const { record } of entries) if (isBodyElsewhere(record)) want(wanted, apps[i]!, recordMessageId(record));
    });
    if (wanted.size === 0) return outcomes;
    const found = new Map<string, Uint8Array>();
    await Promise.all([...wanted].map(([app, ids]) => this.#find(app, [...ids], found)));
    return outcomes.map((outcome, i) => ({
      ...outcome,
      entries: outcome.entries.map((entry) => filled(entry, found.get(`${apps[i]} ${recordMessageId(entry.record)}`))),
    }));
  }

  async #find(app: AppId, ids: readonly MessageId[], found: Map<string, Uint8Array>): Promise<void> {
    const missing: MessageId[] = [];
    for (const id of ids) {
      const key = `${app} ${id}`;
      const known = this.#known.get(key);
      if (known === undefined) missing.push(id);
      else found.set(key, this.#keep(key, known));
    }
    if (missing.length === 0) return;
    const records = await this.#store.bodies(app, missing);
    missing.forEach((id, i) => {
      const record = records[i];
      if (record !== null && record !== undefined) found.set(`${app} ${id}`, this.#keep(`${app} ${id}`, record));
    });
  }

  #keep(key: string, record: Uint8Array): Uint8Array {
    if (this.#known.delete(key)) this.#bytes -= record.length;
    this.#known.set(key, record);
    this.#bytes += record.length;
    for (const [oldest, { length }] of this.#known) {
      if (this.#bytes <= BODIES_BYTES_MAX) break;
      this.#known.delete(oldest);
      this.#bytes -= length;
    }
    return record;
  }
}

function want(wanted: Map<AppId, Set<MessageId>>, app: AppId, id: MessageId): void {
  const ids = wanted.get(app);
  if (ids === undefined) wanted.set(app, new Set([id]));
  else ids.add(id);
}

function filled(entry: StreamEntry, record: Uint8Array | undefined): StreamEntry {
  if (record === undefined || !isBodyElsewhere(entry.record)) return entry;
  return { ...entry, record: withBody(entry.record, record) };
}
