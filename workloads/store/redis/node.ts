// One Redis node and the connection to it: gathers what is asked in a tick, sends it in one write, bounds every wait, and knows the
// life the node is in (life.ts). Nothing is ever sent twice: a cut connection rejects what was under way, outcome unknown.
// single.ts and cluster.ts hold these; ioredis connects and parses.
import { randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import { answerCall, Batch } from './batch.ts';
import type { Call, Item } from './batch.ts';
import { explainProblem, MISFIT } from './connect-problem.ts';
import { EncodedCommand } from './encode.ts';
import type { CallHead } from './encode.ts';
import { learnNode, relearnLife, StoreRefusedError } from './learn.ts';
import type { Learned } from './learn.ts';
import { unpackReplies } from './packed.ts';
import type { Script } from './scripts/script.ts';
import type { Reply } from './trip.ts';
import { StoreUnavailableError } from '../port.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import { SeqWindow } from '../../runtime/seq-window.ts';

export interface NodeOptions {
  /** host:port, for logs and warnings. */
  readonly name: string;
  /** Part of a Cluster: calls are grouped by bucket, and replies may say that a slot moved. */
  readonly clustered: boolean;
  /** A bucket that this node holds, for its store id; null: none. */
  readonly homeBucket: () => number | null;
  /** The slot of these items is elsewhere (nothing was done): ask again there. */
  readonly onMoved: (items: readonly Item[]) => void;
  readonly scripts: readonly Script[];
  readonly timeoutMs: number;
  /** Items asked and not answered; more are rejected, so that a node that hangs cannot fill our memory. */
  readonly itemsMax: number;
  /** The same for bytes. */
  readonly bytesMax: number;
  readonly clock: Clock;
  readonly log: Log;
}
type Shared = Omit<CallHead, 'verb'>;
type State = 'down' | 'learning' | 'ready';

/** How often the life is looked at again: a promotion or a changed configuration is noticed this late at most. */
const RELEARN_MS = 5000;
const LEARN_AGAIN_MS = 250;

export class RedisNode {
  readonly name: string;
  readonly #redis: Redis;
  readonly #options: NodeOptions;
  readonly #stopWatch: () => void;
  readonly #underWay = new SeqWindow<Batch>();
  #batches = 0;
  #state: State = 'down';
  #connection = 0;
  #closed = false;
  #learned: Learned | null = null;
  #batch: Batch | null = null;
  #held: Batch[] = [];
  #items = 0;
  #bytes = 0;
  #lastError: Error | null = null;
  #waiting: (() => void)[] = [];

  constructor(redis: Redis, options: NodeOptions) {
    this.name = options.name;
    this.#redis = redis;
    this.#options = options;
    redis.on('ready', () => void this.#learn());
    redis.on('close', () => this.#down(`the connection to ${this.name} was cut`));
    redis.on('end', () => this.#down(`the connection to ${this.name} has ended`));
    redis.on('error', (error: Error) => this.#note(error));
    this.#stopWatch = options.clock.every(RELEARN_MS, () => void this.#relearn());
    if (redis.status === 'ready') void this.#learn();
    // A connection that is being made counts as learning: what is asked meanwhile waits for it, bounded like every wait.
    else if (redis.status !== 'end' && redis.status !== 'close') this.#state = 'learning';
  }

  get learned(): Learned | null {
    return this.#state === 'ready' ? this.#learned : null;
  }
  get lastError(): Error | null {
    return this.#lastError;
  }

  /** Resolves when the node is ready, has failed or does not fit our settings, or after the time; never rejects. */
  settled(timeoutMs: number): Promise<void> {
    if (this.#state === 'ready') return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = this.#options.clock.after(timeoutMs, resolve);
      this.#waiting.push(() => {
        cancel();
        resolve();
      });
    });
  }

  /** Takes an item into this tick's batch. */
  ask(item: Item): void {
    if (this.#state === 'down') return item.trip.fail(item.index, this.#unavailable(`${this.name} is not connected`));
    if (this.#items >= this.#options.itemsMax)
      return item.trip.fail(
        item.index,
        this.#unavailable(`expected at most ${this.#options.itemsMax} items under way at ${this.name}`),
      );
    if (this.#bytes >= this.#options.bytesMax)
      return item.trip.fail(
        item.index,
        this.#unavailable(`expected at most ${this.#options.bytesMax} bytes under way at ${this.name}`),
      );
    if (this.#batch === null) {
      this.#batch = new Batch(this.#options.clustered);
      setImmediate(() => this.#flush());
    }
    const before = this.#batch.bytes;
    this.#batch.add(item);
    this.#items++;
    this.#bytes += this.#batch.bytes - before;
    if (this.#batch.isFull) this.#flush();
  }

  close(): void {
    this.#stopWatch();
    this.#closed = true;
    this.#redis.disconnect();
    this.#down('the store is closed');
  }

  #flush(): void {
    const batch = this.#batch;
    this.#batch = null;
    if (batch === null) return;
    batch.cancelTimer = this.#options.clock.after(this.#options.timeoutMs, () => this.#expire(batch));
    batch.callsLeft = batch.calls.length;
    for (const call of batch.calls) call.isUnderWay = true;
    batch.seq = ++this.#batches;
    this.#underWay.put(batch.seq, batch);
    if (this.#state === 'learning') this.#held.push(batch);
    else this.#send(batch);
  }

  #send(batch: Batch): void {
    const stream = this.#redis.stream;
    const shared: Shared = { life: this.#learned!.life, epoch: randomBytes(6).toString('base64url') };
    stream.cork();
    for (const call of batch.calls) if (call.isUnderWay) this.#sendCall(call, 'evalsha', shared);
    stream.uncork();
  }

  #sendCall(call: Call, verb: CallHead['verb'], shared: Shared): void {
    const command = new EncodedCommand(call, { verb, ...shared });
    command.promise.then(
      (reply: Buffer | readonly Reply[]) => this.#answer(call, reply),
      (error: Error) => this.#refused(call, error, verb, shared),
    );
    void this.#redis.sendCommand(command);
  }

  #answer(call: Call, reply: Buffer | readonly Reply[]): void {
    let replies: readonly Reply[];
    try {
      replies = Buffer.isBuffer(reply) ? unpackReplies(reply) : reply;
    } catch (error) {
      return this.#fail(call, error as StoreUnavailableError);
    }
    if (this.#done(call)) answerCall(call, replies);
  }

  /** False: it was answered already (cut or timed out). */
  #done(call: Call): boolean {
    if (!call.isUnderWay) return false;
    call.isUnderWay = false;
    this.#items -= call.items.length;
    this.#bytes -= call.bytes;
    const { batch } = call;
    if (--batch.callsLeft === 0) {
      batch.cancelTimer();
      this.#underWay.take(batch.seq);
    }
    return true;
  }

  #refused(call: Call, error: Error, verb: CallHead['verb'], shared: Shared): void {
    if (!call.isUnderWay) return;
    const reason = error.message.split(' ', 1)[0]!;
    // These two say that nothing was done, so that asking again is no repetition.
    if (reason === 'NOSCRIPT' && verb === 'evalsha' && this.#state === 'ready')
      return this.#sendCall(call, 'eval', shared);
    if (isElsewhere(call, error) && call.items.every((item) => item.moves === 0)) {
      this.#done(call);
      return this.#options.onMoved(call.items.map((item) => ({ ...item, moves: item.moves + 1 })));
    }
    this.#fail(
      call,
      new StoreUnavailableError(`${this.name}: ${call.script.name}: ${error.message}`, { cause: error }),
    );
    // It is a master no longer: connect anew, which finds the new one through Sentinel.
    if (reason === 'READONLY' && !this.#options.clustered) this.#redis.disconnect(true);
  }

  #fail(call: Call, error: StoreUnavailableError): void {
    if (this.#done(call)) failItems(call, error);
  }

  #failUnderWay(batch: Batch, error: StoreUnavailableError): void {
    for (const call of batch.calls) this.#fail(call, error);
  }

  #expire(batch: Batch): void {
    this.#failUnderWay(batch, this.#unavailable(`${this.name} did not answer within ${this.#options.timeoutMs} ms`));
  }

  #unavailable(reason: string): StoreUnavailableError {
    const cause = this.#lastError;
    const text = `${reason}; the outcome is unknown${cause === null ? '' : ` (${cause.message})`}`;
    return new StoreUnavailableError(text, cause === null ? undefined : { cause });
  }

  #down(reason: string): void {
    this.#connection++;
    if (this.#state === 'ready' && !this.#closed)
      this.#options.log.warn({ node: this.name, reason }, 'store node lost');
    this.#state = 'down';
    this.#held = [];
    const error = this.#unavailable(reason);
    const waiting = this.#batch;
    this.#batch = null;
    if (waiting !== null) {
      this.#items -= waiting.items;
      this.#bytes -= waiting.bytes;
      for (const call of waiting.calls) failItems(call, error);
    }
    for (const [, batch] of this.#underWay) this.#failUnderWay(batch, error);
    this.#wake();
  }

  #wake(): void {
    for (const waiting of this.#waiting.splice(0)) waiting();
  }

  #note(said: Error): void {
    const error = explainProblem(said, this.name);
    if (this.#lastError?.message !== error.message)
      this.#options.log.warn({ node: this.name, error: error.message }, 'store node error');
    this.#lastError = error;
    // By Sentinels no connection closes then: ioredis goes on asking them.
    if (error.message.includes(MISFIT)) this.#wake();
  }

  async #learn(): Promise<void> {
    this.#connection++;
    const connection = this.#connection;
    this.#state = 'learning';
    try {
      const learned = await this.#bounded(learnNode(this.#redis, this.#options));
      if (connection !== this.#connection) return;
      this.#learned = learned;
      this.#lastError = null;
      this.#state = 'ready';
      this.#options.log.info({ node: this.name, life: learned.life, durable: learned.durable }, 'store node ready');
      for (const batch of this.#held.splice(0)) this.#send(batch);
      this.#wake();
    } catch (error) {
      if (connection !== this.#connection) return;
      this.#note(error as Error);
      this.#down(`${this.name} cannot be used`);
      this.#learnAgainSoon();
    }
  }

  /** It is connected and cannot serve yet (a node that joins its Cluster says CLUSTERDOWN for a while). */
  #learnAgainSoon(): void {
    const connection = this.#connection;
    this.#options.clock.after(LEARN_AGAIN_MS, () => {
      if (connection === this.#connection && this.#redis.status === 'ready') void this.#learn();
    });
  }

  /** Looks at the life again. */
  async #relearn(): Promise<void> {
    if (this.#redis.status !== 'ready' || this.#state !== 'ready') return;
    const connection = this.#connection;
    try {
      const learned = await this.#bounded(relearnLife(this.#redis, this.#options));
      if (connection !== this.#connection) return;
      if (learned.life !== this.#learned!.life)
        this.#options.log.warn({ node: this.name, life: learned.life }, 'store node changed its life');
      this.#learned = learned;
    } catch (error) {
      if (connection !== this.#connection) return;
      this.#note(error as Error);
      if (!(error instanceof StoreRefusedError)) return;
      this.#down(`${this.name} cannot be used`);
      this.#learnAgainSoon();
    }
  }

  #bounded<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const cancel = this.#options.clock.after(this.#options.timeoutMs, () =>
        reject(new StoreUnavailableError(`${this.name} did not answer within ${this.#options.timeoutMs} ms`)),
      );
      work.then(resolve, reject).finally(cancel);
    });
  }
}

function failItems({ items }: Call, error: StoreUnavailableError): void {
  for (const item of items) item.trip.fail(item.index, error);
}

/** The slot of the call, or of one of a walk's keys, is at another node; nothing was done. */
function isElsewhere(call: Call, error: Error): boolean {
  return error.message.startsWith('MOVED ') || (call.script.isWalk && /non local key/.test(error.message));
}
