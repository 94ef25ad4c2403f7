// The link to one life of a gateway, and what was sent over it and not yet answered. Durable deliveries survive a cut of the link: they
// are sent again when it is back. Live ones are bounded by a window of unanswered ones, which is how a gateway's pace reaches senders.
// gateway-path.ts makes one for each lease.
import { openLink } from '../../link/client.ts';
import type { Link } from '../../link/client.ts';
import type { LinkCounters } from '../../link/counters.ts';
import type { SymmetricKey } from '../../protocol/credentials.ts';
import type {
  Answer,
  AnswerMany,
  Command,
  DeliverDevice,
  DeliverMany,
  DeliverTopic,
  Reply,
} from '../../protocol/link.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import { SeqWindow } from '../../runtime/seq-window.ts';
import type { GatewayLease } from '../../store/port.ts';

type Unnumbered<T> = T extends unknown ? Omit<T, 'seq'> : never;
/** A delivery before a link numbers it. */
export type Delivery = Unnumbered<DeliverDevice | DeliverTopic | DeliverMany>;
/** A question to a gateway before a link numbers it. */
export type Question = Unnumbered<Command>;

export interface Sent {
  readonly delivery: Delivery;
  /** Routes tried before this one. */
  readonly moves: number;
  readonly sentMs: number;
}

/** Unanswered live topic messages towards one gateway: with answers each 20 ms still 12,800 a second. */
export const LIVE_WINDOW = 256;
/** Unanswered deliveries (each row of a `deliver-many` is one) kept for one gateway, by number and by bytes of their records. */
export const UNANSWERED_MAX = 20_000;
export const UNANSWERED_BYTES_MAX = 32 * 1024 * 1024;
/** A durable delivery not answered by then is left to the stream. */
export const UNANSWERED_MS = 10_000;
/** Questions under way to one gateway. */
export const QUESTIONS_MAX = 1000;

export interface GatewayLinkOptions {
  readonly lease: GatewayLease;
  /** Own name, told to the gateway. */
  readonly name: string;
  readonly keys: () => readonly SymmetricKey[];
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
  readonly counters: LinkCounters;
  /** Each answer to something still unanswered. */
  onAnswer(sent: Sent, answer: Answer | AnswerMany): void;
  /** A live window or a link opened or closed: who waits for room may look again. */
  onRoom(): void;
  /** A client asks by way of this gateway. Never rejects. */
  onCommand(command: Command): Promise<Reply>;
  /** The link fell, or an attempt at it failed. */
  onDown(): void;
}

export class GatewayLink {
  readonly lease: GatewayLease;
  readonly #options: GatewayLinkOptions;
  readonly #link: Link;
  #unanswered = new SeqWindow<Sent>();
  readonly #questions = new Map<number, (reply: Reply | null) => void>();
  #unansweredCount = 0;
  #unansweredBytes = 0;
  #unansweredLive = 0;
  #seq = 0;

  constructor(options: GatewayLinkOptions) {
    this.lease = options.lease;
    this.#options = options;
    this.#link = openLink({
      address: options.lease.linkAddress,
      keys: options.keys,
      name: options.name,
      role: 'router',
      expectName: options.lease.gateway,
      clock: options.clock,
      log: options.log,
      random: options.random,
      counters: options.counters,
      onFrame: (frame) => {
        if (frame.kind === 'answer' || frame.kind === 'answer-many') this.#take(frame);
        else if (frame.kind === 'reply') this.#settle(frame.seq, frame);
        else if (frame.kind === 'command') void options.onCommand(frame).then((reply) => this.#link.send(reply));
      },
      onUp: () => this.#sendAgain(),
      onDown: () => {
        this.#forgetLive();
        this.#forgetQuestions();
        options.onDown();
      },
    });
  }

  get isUp(): boolean {
    return this.#link.isUp();
  }
  get unanswered(): number {
    return this.#unansweredCount;
  }

  /** A durable delivery: sent now, or kept until the link stands. `full`: neither; it is left to the stream. */
  offer(delivery: Delivery, moves = 0): 'sent' | 'kept' | 'full' {
    if (this.#isFull(delivery)) return 'full';
    const seq = this.#keep(delivery, moves);
    const outcome = this.#link.send({ ...delivery, seq });
    if (outcome === 'queued') return 'sent';
    if (outcome === 'down') return 'kept';
    this.#forget(seq);
    return 'full';
  }

  /** A live delivery: now or never. */
  offerLive(delivery: Delivery, moves = 0): boolean {
    if (!this.#link.isUp() || this.#isFull(delivery)) return false;
    const seq = this.#keep(delivery, moves);
    if (this.#link.send({ ...delivery, seq }) === 'queued') return true;
    this.#forget(seq);
    return false;
  }

  /** Whether another live topic message may go now. */
  get hasLiveRoom(): boolean {
    return this.#link.isUp() && this.#unansweredLive < LIVE_WINDOW;
  }

  /** Asks this life of the gateway; null: the link is not there, fell meanwhile, or no reply came within `timeoutMs`. */
  ask(question: Question, timeoutMs: number): Promise<Reply | null> {
    return new Promise((resolve) => {
      const seq = ++this.#seq;
      if (this.#questions.size >= QUESTIONS_MAX || this.#link.send({ ...question, seq }) !== 'queued')
        return resolve(null);
      const cancel = this.#options.clock.after(timeoutMs, () => this.#settle(seq, null));
      this.#questions.set(seq, (reply) => {
        cancel();
        resolve(reply);
      });
    });
  }

  /** Drops what has waited for an answer too long; answers how many. */
  dropStale(nowMs: number): number {
    let dropped = 0;
    for (const [seq, sent] of this.#unanswered) {
      if (nowMs - sent.sentMs < UNANSWERED_MS) break; // in the order they were sent
      this.#forget(seq);
      dropped += countOf(sent.delivery);
    }
    if (dropped > 0) this.#options.onRoom();
    return dropped;
  }

  /** How long the oldest delivery that was sent waits for its answer; 0: none does. */
  oldestUnansweredMs(nowMs: number): number {
    const oldest = this.#unanswered.oldest();
    return oldest === undefined ? 0 : nowMs - oldest.sentMs;
  }

  /** The durable deliveries that nobody has answered, to go another way; they are not kept here any more. */
  takeKept(): readonly Sent[] {
    const kept: Sent[] = [];
    for (const [seq, sent] of this.#unanswered) {
      if (isLive(sent.delivery)) continue;
      this.#forget(seq);
      kept.push(sent);
    }
    return kept;
  }

  /** Ends the link; answers the deliveries that nobody answered. */
  close(how: 'close' | 'kill'): readonly Sent[] {
    this.#link[how]();
    const left = Array.from(this.#unanswered, ([, sent]) => sent);
    this.#unanswered = new SeqWindow();
    this.#unansweredCount = 0;
    this.#unansweredBytes = 0;
    this.#forgetQuestions();
    return left;
  }

  #isFull(delivery: Delivery): boolean {
    return (
      this.#unansweredCount + countOf(delivery) > UNANSWERED_MAX ||
      this.#unansweredBytes + bytesOf(delivery) > UNANSWERED_BYTES_MAX
    );
  }
  #keep(delivery: Delivery, moves: number): number {
    const seq = ++this.#seq;
    this.#unanswered.put(seq, { delivery, moves, sentMs: this.#options.clock.monotonicMs() });
    this.#unansweredCount += countOf(delivery);
    this.#unansweredBytes += bytesOf(delivery);
    if (isLiveTopic(delivery)) this.#unansweredLive++;
    return seq;
  }
  #forget(seq: number): Sent | null {
    const sent = this.#unanswered.take(seq);
    if (sent === undefined) return null;
    this.#unansweredCount -= countOf(sent.delivery);
    this.#unansweredBytes -= bytesOf(sent.delivery);
    if (isLiveTopic(sent.delivery)) this.#unansweredLive--;
    return sent;
  }
  #take(answer: Answer | AnswerMany): void {
    const sent = this.#forget(answer.seq);
    if (sent === null) return;
    this.#options.onAnswer(sent, answer);
    if (isLiveTopic(sent.delivery)) this.#options.onRoom();
  }
  #sendAgain(): void {
    for (const [seq, sent] of this.#unanswered)
      if (this.#link.send({ ...sent.delivery, seq }) !== 'queued') this.#forget(seq);
    this.#options.onRoom();
  }
  #forgetLive(): void {
    for (const [seq, sent] of this.#unanswered) if (isLive(sent.delivery)) this.#forget(seq);
    this.#options.onRoom();
  }
  #settle(seq: number, reply: Reply | null): void {
    const resolve = this.#questions.get(seq);
    this.#questions.delete(seq);
    resolve?.(reply);
  }
  #forgetQuestions(): void {
    for (const seq of this.#questions.keys()) this.#settle(seq, null);
  }
}

/** Messages that are not stored: now or never. */
export function isLive(delivery: Delivery): boolean {
  return delivery.kind !== 'deliver-many' && delivery.epoch === null;
}
/** Devices or topics that a delivery is for. */
export function countOf(delivery: Delivery): number {
  return delivery.kind === 'deliver-many' ? delivery.rows.length : 1;
}
/** About 100 bytes for each row: two names and two numbers. */
function bytesOf(delivery: Delivery): number {
  return delivery.record.length + (delivery.kind === 'deliver-many' ? 100 * delivery.rows.length : 0);
}
function isLiveTopic(delivery: Delivery): boolean {
  return delivery.kind === 'deliver-topic' && delivery.epoch === null;
}
