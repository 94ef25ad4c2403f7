// Empties the inbox into the application, one message at a time, saves what was handed on, and only then says what may be acked.
// client.ts pokes it whenever something was queued; it runs until nothing waits.
import type { MessageFrame } from '../protocol/frames.ts';
import type { Epoch, MessageId } from '../protocol/ids.ts';
import type { Position, StreamName } from '../protocol/streams.ts';
import type { Inbox, InboxItem, Place } from './inbox.ts';
import type { Storage, StoredMessage } from './storage.ts';

/** What the application is given. */
export interface ReceivedMessage {
  /** `@high`, `@normal`, `@low` for messages to this device; otherwise the topic. */
  readonly stream: StreamName;
  /** Where it stands in its stream; null: a live message, which is not kept for anyone. */
  readonly offset: number | null;
  readonly epoch: Epoch | null;
  readonly id: MessageId;
  readonly sentAtMs: number;
  readonly attributes: Readonly<Record<string, unknown>> | null;
  /** JSON as parsed, a string for text, bytes for bytes. */
  readonly body: unknown;
}

/** Messages between two saves: a save of a file costs more than many messages. */
const BATCH_MAX = 64;
/** A save that failed is tried again after this, with all that came since. */
const SAVE_RETRY_MS = 1000;

export interface DeliveryOptions {
  readonly inbox: Inbox;
  readonly storage: Storage;
  /** Returning (or resolving) says that the message was dealt with; throwing leaves it unacked. */
  readonly onMessage: (message: ReceivedMessage) => unknown;
  readonly onError: (error: unknown) => void;
  /** These streams' held positions rose and are saved. */
  readonly onSaved: (streams: ReadonlySet<StreamName>) => void;
  /** Only connecting anew brings back what the application failed at. */
  readonly onResync: () => void;
  readonly after: (delayMs: number, fn: () => void) => () => void;
}

export class Delivery {
  readonly #options: DeliveryOptions;
  #running: Promise<void> | null = null;
  #stopped = false;
  #unsaved: InboxItem[] = [];
  #handled = 0;
  #cancelRetry: (() => void) | null = null;

  constructor(options: DeliveryOptions) {
    this.#options = options;
  }

  /** Messages that the application dealt with. */
  handled(): number {
    return this.#handled;
  }

  /** Hands on whatever waits. Returns at once. */
  poke(): void {
    if (this.#running !== null || this.#stopped) return;
    this.#running = this.#run().finally(() => {
      this.#running = null;
      if (this.#options.inbox.waiting > 0) this.poke(); // queued between the last look and now
    });
  }

  /** No further message is handed on; resolves when what was handed on is saved. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelRetry?.();
    await this.#running;
    if (this.#unsaved.length > 0) await this.#save();
  }

  async #run(): Promise<void> {
    const { inbox } = this.#options;
    while (!this.#stopped) {
      const batch = inbox.take(BATCH_MAX);
      if (batch.length === 0) return;
      const failed = await this.#hand(batch);
      await this.#save();
      let resync = false;
      for (const items of failed.values()) if (inbox.giveBack(items)) resync = true;
      if (resync) this.#options.onResync();
    }
  }

  /** Answers what the application failed at, and what stood behind that, for each stream. */
  async #hand(batch: readonly InboxItem[]): Promise<ReadonlyMap<StreamName, InboxItem[]>> {
    const failed = new Map<StreamName, InboxItem[]>();
    for (const item of batch) {
      const behind = failed.get(item.stream);
      if (item.place !== null && (behind !== undefined || this.#stopped)) {
        if (behind === undefined) failed.set(item.stream, [item]);
        else behind.push(item);
      } else if ((await this.#handOne(item)) || item.place === null) this.#unsaved.push(item);
      else failed.set(item.stream, [item]);
    }
    return failed;
  }

  async #handOne({ frame, place }: InboxItem): Promise<boolean> {
    if (frame === null) return true;
    try {
      const answer = this.#options.onMessage(received(frame, place));
      if (answer instanceof Promise) await answer;
      this.#handled++;
      return true;
    } catch (error) {
      this.#options.onError(error);
      return false;
    }
  }

  async #save(): Promise<void> {
    const items = this.#unsaved;
    if (items.length === 0) return;
    const positions = new Map<StreamName, Position>();
    const messages: StoredMessage[] = [];
    for (const { stream, place, frame } of items) {
      if (place !== null) positions.set(stream, { stream, ...place });
      if (frame !== null && place !== null) messages.push(stored(frame));
    }
    if (positions.size > 0) {
      try {
        await this.#options.storage.save({ positions: [...positions.values()], messages });
      } catch (error) {
        this.#options.onError(error);
        this.#retryLater();
        return;
      }
    }
    this.#unsaved = this.#unsaved.slice(items.length);
    this.#options.inbox.settle(items);
    if (positions.size > 0) this.#options.onSaved(new Set(positions.keys()));
  }

  #retryLater(): void {
    if (this.#stopped) return;
    this.#cancelRetry?.();
    this.#cancelRetry = this.#options.after(SAVE_RETRY_MS, () => {
      if (this.#running !== null || this.#stopped) return;
      this.#running = this.#save().finally(() => {
        this.#running = null;
        this.poke();
      });
    });
  }
}

function received(frame: MessageFrame, place: Place | null): ReceivedMessage {
  return {
    stream: frame.stream,
    offset: place?.offset ?? null,
    epoch: place?.epoch ?? null,
    id: frame.id,
    sentAtMs: frame.sentAtMs,
    attributes: frame.attributes ?? null,
    body: frame.encoding === 'base64' ? bytesOf(String(frame.body)) : frame.body,
  };
}

function stored(frame: MessageFrame): StoredMessage {
  const { stream, id, sentAtMs, body } = frame;
  return { stream, id, sentAtMs, attributes: frame.attributes ?? null, body };
}

function bytesOf(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}
