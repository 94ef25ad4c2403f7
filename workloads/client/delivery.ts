// Empties the inbox into the application, saves what was handed on, and only then says what may be acked. What the application failed at goes
// back to the inbox, and a nack to the gateway. client.ts pokes it whenever something was queued; it runs until nothing may go.
import { laneOf } from '../protocol/streams.ts';
import type { Position, StreamName } from '../protocol/streams.ts';
import { GONE } from './bodies.ts';
import type { Bodies } from './bodies.ts';
import type { Inbox, InboxItem, Place } from './inbox.ts';
import { NackError, nackOf } from './nack.ts';
import type { Nack } from './nack.ts';
import { received } from './received.ts';
import type { ReceivedMessage } from './received.ts';
import type { Storage, StoredMessage } from './storage.ts';

/** Messages between two saves: a save of a file costs more than many messages. */
const BATCH_MAX = 64;
/** A save that failed is tried again after this, with all that came since. */
const SAVE_RETRY_MS = 1000;

export interface DeliveryOptions {
  readonly inbox: Inbox;
  readonly storage: Storage;
  readonly bodies: Bodies;
  /** Returning (or resolving) says that the message was dealt with; throwing, or returning a NackError, that it was not. */
  readonly onMessage: (message: ReceivedMessage) => unknown;
  /** Messages of lanes that may be with the application at once, each settled by itself; 0: one after the other. */
  readonly atOnceMax: number;
  readonly onError: (error: unknown) => void;
  /** These were saved: their positions, and those that are settled above one that is not, may be acked. */
  readonly onSaved: (positions: readonly Position[], items: readonly InboxItem[]) => void;
  readonly onNack: (stream: StreamName, place: Place, nack: Nack) => void;
  /** Only connecting anew brings back what the application failed at. */
  readonly onResync: () => void;
  readonly after: (delayMs: number, fn: () => void) => () => void;
}

type Outcome = 'done' | Nack;
interface Failure {
  readonly items: InboxItem[];
  /** Null: it was not tried, the client is being closed. */
  readonly nack: Nack | null;
}

export class Delivery {
  readonly #options: DeliveryOptions;
  #running: Promise<void> | null = null;
  /** Something came while it ran. */
  #again = false;
  #stopped = false;
  #unsaved: InboxItem[] = [];
  /** Messages that are settled by themselves and are with the application. */
  readonly #out = new Set<Promise<void>>();
  #handled = 0;
  #nacked = 0;
  #bodiesGone = 0;
  #cancelRetry: (() => void) | null = null;

  constructor(options: DeliveryOptions) {
    this.#options = options;
  }

  /** Messages that the application dealt with, that it failed at, and that were gone before their body could be fetched. */
  counters(): { handled: number; nacked: number; bodiesGone: number } {
    return { handled: this.#handled, nacked: this.#nacked, bodiesGone: this.#bodiesGone };
  }

  /** Hands on whatever waits. Returns at once. */
  poke(): void {
    this.#again = true;
    if (this.#running !== null || this.#stopped) return;
    this.#running = this.#run().finally(() => {
      this.#running = null;
      if (this.#again) this.poke();
    });
  }

  /** No further message is handed on; resolves when what was handed on is saved. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelRetry?.();
    this.#cancelRetry = null;
    await this.#running;
    await Promise.all(this.#out);
    await this.#save();
  }

  async #run(): Promise<void> {
    this.#again = false;
    while (!this.#stopped) {
      const batch = this.#take();
      if (batch.length === 0 && (this.#unsaved.length === 0 || this.#cancelRetry !== null)) return;
      const failed = await this.#hand(batch);
      await this.#save();
      for (const failure of failed.values()) this.#giveBack(failure);
    }
  }

  #take(): InboxItem[] {
    const { inbox, bodies, atOnceMax } = this.#options;
    const free = Math.max(0, atOnceMax - this.#out.size);
    const isFull = atOnceMax > 0 && free === 0;
    const limit = atOnceMax > 0 && free > 0 ? free : BATCH_MAX;
    return inbox.take(limit, (item) => bodies.isHere(item) && !(isFull && this.#goesByItself(item)));
  }

  #goesByItself({ stream, place, frame }: InboxItem): boolean {
    return this.#options.atOnceMax > 0 && place !== null && frame !== null && laneOf(stream) !== null;
  }

  /** Answers what the application failed at, and what stood behind that, for each stream. */
  async #hand(batch: readonly InboxItem[]): Promise<ReadonlyMap<StreamName, Failure>> {
    const failed = new Map<StreamName, Failure>();
    for (const item of batch) {
      const behind = failed.get(item.stream);
      if (item.place !== null && behind !== undefined) behind.items.push(item);
      else if (item.place !== null && this.#stopped) failed.set(item.stream, { items: [item], nack: null });
      else if (this.#goesByItself(item)) this.#handByItself(item);
      else {
        const outcome = await this.#handOne(item);
        if (outcome === 'done') {
          this.#unsaved.push(item);
          // What came before may have been taken down by what stands behind it: it must not count against this one again.
          if ((item.frame?.attempt ?? 1) > 1) await this.#save();
        } else if (item.place !== null) failed.set(item.stream, { items: [item], nack: outcome });
        else if (item.frame?.later === true) this.#options.inbox.giveBackOne(item); // it comes again with its place
      }
    }
    return failed;
  }

  #handByItself(item: InboxItem): void {
    const done = this.#settleByItself(item);
    this.#out.add(done);
    void done.finally(() => {
      this.#out.delete(done);
      this.poke();
    });
  }

  async #settleByItself(item: InboxItem): Promise<void> {
    const { inbox, onResync, onNack } = this.#options;
    const outcome = await this.#handOne(item);
    if (outcome === 'done') this.#unsaved.push(item);
    else if (inbox.giveBackOne(item)) onResync();
    else onNack(item.stream, item.place!, outcome);
  }

  /** Never rejects. */
  async #handOne(item: InboxItem): Promise<Outcome> {
    const frame = this.#options.bodies.frameOf(item);
    if (frame === GONE) this.#bodiesGone++;
    if (frame === null || frame === GONE) return 'done';
    try {
      if ('error' in frame) throw new Error('its body could not be fetched', { cause: frame.error });
      const given = this.#options.onMessage(received(frame, item.place));
      const answer: unknown = given instanceof Promise ? await given : given;
      if (answer instanceof NackError) throw answer;
      this.#handled++;
      return 'done';
    } catch (error) {
      this.#nacked++;
      if (!(error instanceof NackError)) this.#options.onError(error);
      return nackOf(error);
    }
  }

  #giveBack({ items, nack }: Failure): void {
    const { inbox, onResync, onNack } = this.#options;
    const { stream, place } = items[0]!;
    if (inbox.giveBack(items)) onResync();
    else if (nack !== null && place !== null) onNack(stream, place, nack);
  }

  async #save(): Promise<void> {
    const items = this.#unsaved;
    if (items.length === 0) return;
    const { inbox, storage } = this.#options;
    const positions = inbox.heldWith(items);
    const messages = items.flatMap((item) => this.#stored(item) ?? []);
    if (positions.length > 0 || messages.length > 0) {
      try {
        await storage.save({ positions, messages });
      } catch (error) {
        this.#options.onError(error);
        this.#retryLater();
        return;
      }
    }
    this.#cancelRetry?.();
    this.#cancelRetry = null;
    this.#unsaved = this.#unsaved.slice(items.length);
    const isLost = inbox.settle(items);
    this.#options.onSaved(positions, items);
    if (isLost) this.#options.onResync();
  }

  #stored(item: InboxItem): StoredMessage | null {
    const { frame, place } = item;
    if (frame === null || (place === null && frame.later !== true)) return null;
    const whole = this.#options.bodies.frameOf(item);
    const { stream, id, sentAtMs, attributes = null } = frame;
    return {
      stream,
      id,
      sentAtMs,
      attributes,
      body: whole !== null && typeof whole === 'object' && 'body' in whole ? whole.body : null,
    };
  }

  #retryLater(): void {
    if (this.#stopped) return;
    this.#cancelRetry?.();
    this.#cancelRetry = this.#options.after(SAVE_RETRY_MS, () => {
      this.#cancelRetry = null;
      this.poke();
    });
  }
}
