// All that this client wants of a gateway and that waits for an answer: subscriptions, questions, and messages to the business and to other
// clients. client.ts sends what is `due` on the serving connection and hands every answer in.
import type { ClientFrame, ErrorFrame, ServerFrame } from '../protocol/frames.ts';
import type { TopicName } from '../protocol/ids.ts';
import type { Place } from './inbox.ts';
import { Outgoing } from './outgoing.ts';
import { Questions } from './questions.ts';
import type { Storage, StoredOutgoing } from './storage.ts';
import type { OutgoingState } from './state.ts';
import { Subscriptions } from './subscriptions.ts';

export type Answer = Extract<
  ServerFrame,
  { type: 'subscribed' | 'unsubscribed' | 'taken' | 'sent' | 'pulled' | 'fetched' | 'grouped' }
>;

export class Requests {
  readonly subscriptions: Subscriptions;
  readonly questions: Questions;
  readonly upstream: Outgoing;
  readonly sends: Outgoing;
  #lastId = 0;

  /** @param options.stored what an earlier life of this client left  @param options.onOutgoing what is put off, `outgoing` says, has changed */
  constructor(options: {
    storage: Storage;
    outgoingMax: number;
    stored: readonly StoredOutgoing[];
    onOutgoing: () => void;
  }) {
    const newId = (): number => ++this.#lastId;
    const newKey = (): string => crypto.randomUUID();
    const { storage, outgoingMax: max, stored, onOutgoing: onPutOff } = options;
    this.subscriptions = new Subscriptions(newId);
    this.questions = new Questions(newId);
    this.upstream = new Outgoing({ storage, max, newId, newKey, onPutOff });
    this.sends = new Outgoing({ storage, max, newId, newKey, onPutOff });
    this.upstream.restore(stored.filter(({ message }) => message.type === 'upstream'));
    this.sends.restore(stored.filter(({ message }) => message.type === 'send'));
  }

  get outgoing(): OutgoingState {
    const { upstream, sends } = this;
    return { waiting: upstream.waiting + sends.waiting, putOff: upstream.putOff ?? sends.putOff };
  }

  /** What goes to this connection now and has not gone there. */
  due(conn: number, position: (topic: TopicName) => Place | null, nowMs: number): ClientFrame[] {
    return [
      ...this.subscriptions.due(position, nowMs),
      ...this.questions.due(conn, nowMs),
      ...this.upstream.due(conn, nowMs),
      ...this.sends.due(conn, nowMs),
    ];
  }

  /** When something is due again that was refused for now; null: nothing is. */
  wakeAtMs(): number | null {
    const parts = [this.subscriptions, this.questions, this.upstream, this.sends];
    const atMs = Math.min(...parts.map((part) => part.wakeAtMs() ?? Infinity));
    return atMs === Infinity ? null : atMs;
  }

  /** Resolves when the storage knows. */
  async answered(frame: Answer, nowMs: number): Promise<void> {
    switch (frame.type) {
      case 'subscribed':
        return this.subscriptions.subscribed(frame, nowMs);
      case 'unsubscribed':
        return this.subscriptions.unsubscribed(frame.id);
      case 'taken':
        return await this.upstream.taken(frame.id, null);
      case 'sent':
        return await this.sends.taken(frame.id, frame.messageId);
      case 'pulled':
      case 'fetched':
      case 'grouped':
        return this.questions.answered(frame);
    }
  }

  async refused(frame: ErrorFrame, nowMs: number): Promise<void> {
    if (this.subscriptions.refused(frame, nowMs) || this.questions.refused(frame, nowMs)) return;
    const part = this.upstream.has(frame.id) ? this.upstream : this.sends;
    await part.refused(frame, nowMs);
  }

  stop(error: Error): void {
    for (const part of [this.subscriptions, this.questions, this.upstream, this.sends]) part.stop(error);
  }
}
