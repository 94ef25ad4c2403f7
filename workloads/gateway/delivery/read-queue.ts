// Reads of streams, gathered: what is asked within one tick goes to the store as few calls of bounded size, the same question asked
// twice is asked once (R11), and only some calls are under way at a time, so that a storm of resumers costs memory within bounds.
// Bodies that the streams keep elsewhere are filled in on the way (bodies.ts). recovery.ts (sessions that open) and stream-reader.ts
// (sessions that are behind) ask, and frames/fetch.ts for one message.
import type { ReadOutcome, Store, StreamRead } from '../../store/port.ts';
import { Bodies } from './bodies.ts';
import type { Counts } from '../counts.ts';

/** 16 reads of at most 512 KiB, 4 calls: 32 MiB of entries at the very worst. */
const READS_PER_CALL = 16;
const CALLS_MAX = 4;

interface Question {
  readonly key: string;
  readonly read: StreamRead;
  readonly answer: PromiseWithResolvers<ReadOutcome>;
}

export class ReadQueue {
  readonly #store: Store;
  readonly #counts: Counts;
  readonly #bodies: Bodies;
  readonly #asked = new Map<string, Question>();
  #waiting: Question[] = [];
  #calls = 0;
  #armed = false;

  constructor(store: Store, counts: Counts) {
    this.#store = store;
    this.#counts = counts;
    this.#bodies = new Bodies(store);
  }

  /** Rejects as the store does. */
  read(read: StreamRead): Promise<ReadOutcome> {
    const key = keyOf(read);
    const known = this.#asked.get(key);
    if (known !== undefined) return known.answer.promise;
    const question = { key, read, answer: Promise.withResolvers<ReadOutcome>() };
    this.#asked.set(key, question);
    this.#waiting.push(question);
    if (!this.#armed) {
      this.#armed = true;
      setImmediate(() => {
        this.#armed = false;
        this.#pump();
      });
    }
    return question.answer.promise;
  }

  #pump(): void {
    while (this.#calls < CALLS_MAX && this.#waiting.length > 0) {
      const batch = this.#waiting.slice(0, READS_PER_CALL);
      this.#waiting = this.#waiting.slice(READS_PER_CALL);
      // From here on a hint may name what this read will not see: the same question is then a new one.
      for (const question of batch) this.#asked.delete(question.key);
      this.#calls++;
      void this.#ask(batch);
    }
  }

  async #ask(batch: readonly Question[]): Promise<void> {
    try {
      this.#counts.storeReads += batch.length;
      const read = await this.#store.read(batch.map((question) => question.read));
      const outcomes = await this.#bodies.fill(
        batch.map((question) => question.read.stream.app),
        read,
      );
      batch.forEach((question, i) => question.answer.resolve(outcomes[i]!));
    } catch (error) {
      this.#counts.storeReadsFailed += batch.length;
      for (const question of batch) question.answer.reject(error);
    } finally {
      this.#calls--;
      this.#pump();
    }
  }
}

function keyOf({ stream, after, entriesMax }: StreamRead): string {
  const name = stream.kind === 'topic' ? stream.topic : `${stream.device} @${stream.lane}`;
  return `${stream.app} ${name} ${after === null ? '' : `${after.epoch} ${after.offset}`} ${entriesMax}`;
}
