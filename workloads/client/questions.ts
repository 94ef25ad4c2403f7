// Frames that have one answer (pull, fetch, group): asked on the serving connection, asked again on the next one where that went before the
// answer, and again after a refusal that passes, a bounded number of times. client.ts sends what is `due` and hands the answers in.
import type { ErrorCode } from '../protocol/codes.ts';
import type { ClientFrame, ErrorFrame, FetchFrame, GroupFrame, PullFrame } from '../protocol/frames.ts';
import type { FetchedFrame, GroupedFrame, PulledFrame } from '../protocol/frames.ts';
import { isPassing } from './verdict.ts';

/** The gateway will not do what was asked. */
export class QuestionRefusedError extends Error {
  readonly code: ErrorCode;
  constructor(code: ErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
/** More questions wait for an answer than may. */
export class QuestionsFullError extends Error {
  readonly code = 'questions-full';
}

type Asked = PullFrame | FetchFrame | GroupFrame;
export type Question = Asked extends infer F ? (F extends Asked ? Omit<F, 'id'> : never) : never;
interface Answers {
  readonly pull: PulledFrame;
  readonly fetch: FetchedFrame;
  readonly group: GroupedFrame;
}
type Answer = Answers[keyof Answers];

interface Pending {
  readonly id: number;
  readonly question: Question;
  /** On which connection it was asked last; 0: not yet, or refused for now. */
  askedOn: number;
  notBeforeMs: number;
  triesLeft: number;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
}

const WAITING_MAX = 1000;
/** Asked and not answered on one connection at most. */
const IN_FLIGHT_MAX = 32;
const TRIES_MAX = 8;
const RETRY_DEFAULT_MS = 500;

export class Questions {
  readonly #pending = new Map<number, Pending>();
  readonly #newId: () => number;

  constructor(newId: () => number) {
    this.#newId = newId;
  }

  /** Resolves with the answer; rejects with QuestionRefusedError, QuestionsFullError, or what `stop` was given. */
  ask<T extends keyof Answers>(question: Extract<Question, { type: T }>): Promise<Answers[T]> {
    if (this.#pending.size >= WAITING_MAX)
      return Promise.reject(new QuestionsFullError(`expected at most ${WAITING_MAX} questions waiting, got one more`));
    const id = this.#newId();
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const asked = { askedOn: 0, notBeforeMs: 0, triesLeft: TRIES_MAX };
    this.#pending.set(id, { id, question, ...asked, resolve, reject });
    return promise as Promise<Answers[T]>;
  }

  /** What is asked on this connection now. */
  due(conn: number, nowMs: number): ClientFrame[] {
    const out: ClientFrame[] = [];
    let inFlight = 0;
    for (const pending of this.#pending.values()) {
      if (inFlight >= IN_FLIGHT_MAX) break;
      if (pending.askedOn === conn) inFlight++;
      else if (pending.notBeforeMs <= nowMs) {
        inFlight++;
        pending.askedOn = conn;
        out.push({ ...pending.question, id: pending.id });
      }
    }
    return out;
  }

  /** When something that was refused for now is due again; null: nothing is. */
  wakeAtMs(): number | null {
    let at: number | null = null;
    for (const { askedOn, notBeforeMs } of this.#pending.values())
      if (askedOn === 0 && notBeforeMs > 0 && (at === null || notBeforeMs < at)) at = notBeforeMs;
    return at;
  }

  answered(answer: Answer): void {
    const pending = this.#pending.get(answer.id);
    if (pending === undefined) return;
    this.#pending.delete(answer.id);
    pending.resolve(answer);
  }

  /** False when the id is none of ours. */
  refused(frame: ErrorFrame, nowMs: number): boolean {
    const pending = frame.id === undefined ? undefined : this.#pending.get(frame.id);
    if (pending === undefined) return false;
    if (isPassing(frame.code) && --pending.triesLeft > 0) {
      pending.askedOn = 0;
      pending.notBeforeMs = nowMs + (frame.retryAfterMs ?? RETRY_DEFAULT_MS);
      return true;
    }
    this.#pending.delete(pending.id);
    pending.reject(new QuestionRefusedError(frame.code, frame.message));
    return true;
  }

  stop(error: Error): void {
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }
}
