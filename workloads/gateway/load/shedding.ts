// Shedding (C8) and back-pressure (B8) of a gateway. While it has too much, live messages of low levels are not sent and clients are told, so
// that they fall back; at the highest level durable hints wait in the streams, and when that is over everyone who is behind reads on.
// While intake is paused, answers to live deliveries come late, which is what holds senders back: a router has a window of them.
// load-level.ts decides, role.ts ticks, link-frames.ts asks for each delivery, stream-reader.ts before it reads.
import type { LinkFrame } from '../../protocol/link.ts';
import { isJournalled, recordLevel } from '../../protocol/record.ts';
import type { Connection } from '../connect/connection.ts';
import { isBehind } from '../endings/cursor.ts';
import type { Gateway } from '../gateway.ts';
import { LEVEL_MIN, LEVEL_START, RESUME_MEMORY_SHARE, pressureOf, stepIntake, stepLevel } from './load-level.ts';
import type { Load } from './load-level.ts';
import type { Vitals } from './vitals.ts';

const LOOK_MS = 500;
/** With a tick of 50 ms: 5,000 clients a second are told or go on. */
const CLIENTS_PER_TICK = 250;
/** Clients are told again in good time while it lasts. */
export const DEGRADED_MS = 30_000;
const TELL_AGAIN_MS = 25_000;
/** How late answers come while intake is paused: with a window of 256 that is 512 live topic messages a second from each router. */
export const LATE_ANSWER_MS = 500;
/** Answers that wait; more go at once. */
const LATE_ANSWERS_MAX = 10_000;

interface LateAnswer {
  readonly peer: { send(frame: LinkFrame): unknown };
  readonly frame: LinkFrame;
  readonly dueMs: number;
}

export class Shedding {
  readonly #gateway: Gateway;
  readonly #vitals: Vitals;
  #state = LEVEL_START;
  #paused = false;
  #load: Load = { lagMs: 0, outboxBytes: 0, memoryBytes: 0, bytesPerSecond: 0 };
  #lookedAtMs = 0;
  #bytesThen = 0;
  /** Where the walk over the connections is, from the end; 0: everyone was told. */
  #at = 0;
  #toldAtMs = 0;
  /** Streams may be behind since hints waited. */
  #wake = false;
  #answers: LateAnswer[] = [];

  constructor(gateway: Gateway, vitals: Vitals) {
    this.#gateway = gateway;
    this.#vitals = vitals;
  }

  get level(): number {
    return this.#state.level;
  }
  get intakePaused(): boolean {
    return this.#paused;
  }
  get load(): Load {
    return this.#load;
  }
  /** Hints of durable messages, and reads, wait: the streams have them. */
  get holdsBack(): boolean {
    return this.#state.level === LEVEL_MIN.length - 1;
  }

  /** Memory is used up: nobody new is taken until there is some. */
  get refusesClients(): boolean {
    const { memoryBytesMax } = this.#gateway.settings;
    return this.#paused && memoryBytesMax > 0 && this.#load.memoryBytes >= memoryBytesMax * RESUME_MEMORY_SHARE;
  }

  /** Whether a live message is not to be sent now. Cost: two comparisons. */
  sheds(record: Uint8Array): boolean {
    const levelMin = LEVEL_MIN[this.#state.level]!;
    return levelMin > 0 && (recordLevel(record) ?? 0) < levelMin && !isJournalled(record);
  }

  /** An answer to a live delivery: at once, or late while intake is paused. */
  answer(peer: LateAnswer['peer'], frame: LinkFrame): void {
    if (!this.#paused || this.#answers.length >= LATE_ANSWERS_MAX) peer.send(frame);
    else this.#answers.push({ peer, frame, dueMs: this.#gateway.clock.nowMs() + LATE_ANSWER_MS });
  }

  /** A client that comes while load is shed is told like the others. */
  greet(connection: Connection): void {
    if (this.#state.level === 0) return;
    connection.degraded = true;
    connection.send(this.#degraded());
  }

  tick(nowMs: number): void {
    if (nowMs - this.#lookedAtMs >= LOOK_MS) this.#look(nowMs);
    if (this.#at > 0) this.#tellSome();
    this.#answerSome(nowMs);
  }
  stop(): void {
    this.#vitals.stop();
  }

  #look(nowMs: number): void {
    const { outbox, settings, log, counts } = this.#gateway;
    const seconds = (nowMs - this.#lookedAtMs) / 1000;
    const { bytes } = outbox.counts;
    // The first look has nothing to compare with.
    const bytesPerSecond = this.#lookedAtMs === 0 ? 0 : (bytes - this.#bytesThen) / seconds;
    this.#lookedAtMs = nowMs;
    this.#bytesThen = bytes;
    this.#load = { ...this.#vitals.look(), outboxBytes: outbox.waitingBytes(), bytesPerSecond };
    const before = this.#state.level;
    const wasPaused = this.#paused;
    const heldBack = this.holdsBack;
    this.#state = stepLevel(this.#state, pressureOf(this.#load, settings), nowMs);
    this.#paused = stepIntake(this.#paused, this.#load, settings);
    const { level } = this.#state;
    if (level !== before || this.#paused !== wasPaused) {
      counts.loadChanges++;
      log.warn({ level, intakePaused: this.#paused, ...this.#load }, 'load shedding changed');
    }
    if ((heldBack && !this.holdsBack) || (wasPaused && !this.#paused)) this.#wake = true;
    if (level !== before || this.#wake || (level > 0 && nowMs - this.#toldAtMs >= TELL_AGAIN_MS)) {
      this.#at = this.#gateway.directory.connections.length;
      this.#toldAtMs = nowMs;
    }
  }

  #degraded(): { readonly type: 'degraded'; readonly levelMin: number; readonly forMs: number } {
    return { type: 'degraded', levelMin: LEVEL_MIN[this.#state.level]!, forMs: DEGRADED_MS };
  }

  /** From the end: one that leaves is replaced by the last, which was told. */
  #tellSome(): void {
    const { connections } = this.#gateway.directory;
    const from = Math.min(this.#at, connections.length);
    this.#at = Math.max(0, from - CLIENTS_PER_TICK);
    for (let i = from - 1; i >= this.#at; i--) {
      const connection = connections[i]!;
      if (connection.phase === 'live') this.#tell(connection);
    }
    if (this.#at === 0) this.#wake = false;
  }

  #tell(connection: Connection): void {
    const { level } = this.#state;
    if (level > 0) connection.send(this.#degraded());
    else if (connection.degraded) connection.send({ type: 'restored' });
    connection.degraded = level > 0;
    if (!this.#wake || this.holdsBack) return;
    for (const cursor of connection.session!.cursors)
      if (isBehind(cursor)) this.#gateway.reader.want(connection, cursor, 'now');
  }

  #answerSome(nowMs: number): void {
    if (this.#answers.length === 0) return;
    const due = this.#answers.findIndex(({ dueMs }) => dueMs > nowMs);
    const ready = this.#answers.splice(0, this.#paused && due !== -1 ? due : this.#answers.length);
    for (const { peer, frame } of ready) peer.send(frame);
  }
}
