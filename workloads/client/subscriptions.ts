// The topics this client wants, and the questions about them that wait for an answer. On each welcome it tells which topics the session
// does not hold yet; client.ts sends the frames. Frames carry at most LIMITS.positionsPerFrameMax topics.
import type { ErrorCode } from '../protocol/codes.ts';
import type { ClientFrame, ErrorFrame, SubscribedFrame, TopicFilter, TopicRequest } from '../protocol/frames.ts';
import type { TopicName } from '../protocol/ids.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { Place } from './inbox.ts';
import { isPassing } from './verdict.ts';

/** The gateway refused a topic. */
export class SubscribeRefusedError extends Error {
  readonly code: ErrorCode;
  readonly topic: string;
  constructor(topic: string, code: ErrorCode, message: string) {
    super(message);
    this.topic = topic;
    this.code = code;
  }
}

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}
interface Question {
  readonly kind: 'subscribe' | 'unsubscribe';
  readonly topics: readonly TopicName[];
  /** The filters that were asked for, as JSON. */
  readonly filters: ReadonlyMap<TopicName, string | undefined>;
}

const RETRY_DEFAULT_MS = 1000;

export class Subscriptions {
  /** With the filter that was asked for; undefined: as the server keeps it. */
  readonly #wanted = new Map<TopicName, TopicFilter | null | undefined>();
  readonly #unwanted = new Set<TopicName>();
  /** What the present session holds. */
  #held = new Set<TopicName>();
  /** Topics whose filter the server has not confirmed; held or not, they are asked for. */
  readonly #unfiltered = new Set<TopicName>();
  readonly #asked = new Map<number, Question>();
  readonly #waiters = new Map<TopicName, Waiter[]>();
  /** A refusal that passes holds further questions back until then. */
  #notBeforeMs = 0;
  readonly #newId: () => number;

  constructor(newId: () => number) {
    this.#newId = newId;
  }

  /**
   * Wants a topic from now on; resolves when a session holds it, with the filter, rejects with SubscribeRefusedError.
   * @param filter undefined: as the server keeps it; null: everything
   */
  want(topic: TopicName, filter?: TopicFilter | null): Promise<void> {
    const before = this.#wanted.get(topic);
    this.#wanted.set(topic, filter === undefined ? before : filter);
    this.#unwanted.delete(topic);
    if (filter !== undefined && JSON.stringify(filter) !== JSON.stringify(before)) this.#unfiltered.add(topic);
    return this.#held.has(topic) && !this.#unfiltered.has(topic) ? Promise.resolve() : this.#wait(topic);
  }
  /** Wants it no more; resolves when the gateway has dropped it. */
  drop(topic: TopicName): Promise<void> {
    this.#settle(topic, null);
    this.#wanted.delete(topic);
    this.#unfiltered.delete(topic);
    this.#unwanted.add(topic);
    return this.#wait(topic);
  }

  /** A new session stands, which holds these streams; questions of the one before have no answer any more. */
  welcome(streams: Iterable<string>): void {
    this.#asked.clear();
    this.#notBeforeMs = 0;
    this.#held = new Set(streams as Iterable<TopicName>);
    for (const topic of this.#held)
      if (this.#wanted.has(topic) && !this.#unfiltered.has(topic)) this.#settle(topic, null);
  }

  /** What to ask on the present connection that has not been asked there. */
  due(position: (topic: TopicName) => Place | null, nowMs: number): ClientFrame[] {
    if (nowMs < this.#notBeforeMs) return [];
    this.#notBeforeMs = 0;
    const asked = new Set([...this.#asked.values()].flatMap((question) => question.topics));
    const isMissing = (topic: TopicName): boolean => !this.#held.has(topic) || this.#unfiltered.has(topic);
    const missing = [...this.#wanted.keys()].filter((topic) => isMissing(topic) && !asked.has(topic));
    const surplus = [...this.#unwanted].filter((topic) => !asked.has(topic));
    const frames: ClientFrame[] = [];
    for (const topics of chunks(missing)) {
      const requests = topics.map((topic) => this.#request(topic, position(topic)));
      frames.push({ type: 'subscribe', id: this.#ask('subscribe', topics), topics: requests });
    }
    for (const topics of chunks(surplus))
      frames.push({ type: 'unsubscribe', id: this.#ask('unsubscribe', topics), topics });
    return frames;
  }

  /** When `due` has something again after a refusal that passes; null: it has nothing to wait for. */
  wakeAtMs(): number | null {
    return this.#notBeforeMs === 0 ? null : this.#notBeforeMs;
  }

  subscribed(frame: SubscribedFrame, nowMs: number): void {
    const question = this.#asked.get(frame.id);
    if (question === undefined) return;
    this.#asked.delete(frame.id);
    const refused = new Map((frame.refused ?? []).map(({ topic, code }) => [topic, code]));
    for (const topic of question.topics) {
      const code = refused.get(topic);
      if (code === undefined) {
        this.#held.add(topic);
        if (question.filters.get(topic) === JSON.stringify(this.#wanted.get(topic))) this.#unfiltered.delete(topic);
        if (this.#unfiltered.has(topic)) continue; // another filter was asked for meanwhile
        if (this.#wanted.has(topic)) this.#settle(topic, null);
      } else this.#refuse(topic, { code, message: refusalOf(topic, code) }, nowMs);
    }
  }
  unsubscribed(id: number): void {
    const question = this.#asked.get(id);
    if (question === undefined) return;
    this.#asked.delete(id);
    for (const topic of question.topics) {
      this.#held.delete(topic);
      if (this.#unwanted.delete(topic)) this.#settle(topic, null);
    }
  }
  /** A whole question was refused. False when the id is none of ours. */
  refused(frame: ErrorFrame, nowMs: number): boolean {
    const question = frame.id === undefined ? undefined : this.#asked.get(frame.id);
    if (question === undefined || frame.id === undefined) return false;
    this.#asked.delete(frame.id);
    for (const topic of question.topics) this.#refuse(topic, frame, nowMs);
    return true;
  }

  stop(error: Error): void {
    for (const topic of this.#waiters.keys()) this.#settle(topic, error);
  }

  #ask(kind: Question['kind'], topics: readonly TopicName[]): number {
    const id = this.#newId();
    const filters = new Map(topics.map((topic) => [topic, JSON.stringify(this.#wanted.get(topic))]));
    this.#asked.set(id, { kind, topics, filters });
    return id;
  }
  #request(topic: TopicName, place: Place | null): TopicRequest {
    const filter = this.#wanted.get(topic);
    return { topic, ...place, ...(filter === undefined ? {} : { filter }) };
  }
  #refuse(topic: TopicName, why: { code: ErrorCode; message: string; retryAfterMs?: number }, nowMs: number): void {
    if (isPassing(why.code)) {
      this.#notBeforeMs = nowMs + (why.retryAfterMs ?? RETRY_DEFAULT_MS);
      return;
    }
    this.#wanted.delete(topic);
    this.#unwanted.delete(topic);
    this.#unfiltered.delete(topic);
    this.#settle(topic, new SubscribeRefusedError(topic, why.code, why.message));
  }
  #wait(topic: TopicName): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiters = this.#waiters.get(topic);
    if (waiters === undefined) this.#waiters.set(topic, [{ resolve, reject }]);
    else waiters.push({ resolve, reject });
    return promise;
  }
  #settle(topic: TopicName, error: Error | null): void {
    for (const { resolve, reject } of this.#waiters.get(topic) ?? []) {
      if (error === null) resolve();
      else reject(error);
    }
    this.#waiters.delete(topic);
  }
}

function chunks(topics: readonly TopicName[]): TopicName[][] {
  const out: TopicName[][] = [];
  for (let i = 0; i < topics.length; i += LIMITS.positionsPerFrameMax)
    out.push(topics.slice(i, i + LIMITS.positionsPerFrameMax));
  return out;
}

function refusalOf(topic: TopicName, code: ErrorCode): string {
  const why = code === 'forbidden' ? ': it is not within the topics that the app allows this device' : '';
  return `${topic}: refused with ${code}${why}`;
}
