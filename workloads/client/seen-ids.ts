// A bounded window of message ids, oldest out first. inbox.ts keeps one for what may come again under another place and one for live
// messages, so that a busy live topic does not push out what must be remembered.
import type { MessageId } from '../protocol/ids.ts';
import type { StreamName } from '../protocol/streams.ts';

export class SeenIds {
  readonly #max: number;
  readonly #ids = new Set<string>();

  constructor(max: number) {
    this.#max = max;
  }
  /** False: it was there. */
  add(stream: StreamName, id: MessageId): boolean {
    const key = keyOf(stream, id);
    if (this.#ids.has(key)) return false;
    this.#ids.add(key);
    if (this.#ids.size > this.#max) this.#ids.delete(this.#ids.values().next().value!);
    return true;
  }
  has(stream: StreamName, id: MessageId): boolean {
    return this.#ids.has(keyOf(stream, id));
  }
  delete(stream: StreamName, id: MessageId): void {
    this.#ids.delete(keyOf(stream, id));
  }
}

function keyOf(stream: StreamName, id: MessageId): string {
  return `${id} ${stream}`;
}
