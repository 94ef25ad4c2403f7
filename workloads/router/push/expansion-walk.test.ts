// Random walks of routers over one store that expand one list in spans: they die at any step, hang past their leases, lose answers of the
// store, and the list may be cancelled. SEED=n walks that one.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { seeded } from '../../link/fixtures.ts';
import type { DeviceId } from '../../protocol/ids.ts';
import { aManualClock } from '../../runtime/clock.ts';
import { StoreUnavailableError } from '../../store/port.ts';
import type { Job, Message, Store } from '../../store/port.ts';
import { aJobsRouter, aList, someDevices, statesOf } from '../api/api-fixtures.ts';
import type { JobsRouter } from '../api/api-fixtures.ts';
import { SHOP, aStore } from '../fixtures.ts';
import { cancelLists, cancelMessage } from '../results/cancel.ts';
import { JOB_LEASE_MS, JOB_POLL_MS } from './jobs.ts';
import { cancelJob, expandJob, resumeList } from './list.ts';
import { SPAN_CHUNKS, spansOf } from './spans.ts';

const WALKS = 60;
const ACTIONS = 40;
/** Three spans, the last of them shorter. */
const CHUNKS = 2 * SPAN_CHUNKS + 3;

/** Three routers and their list. */
class Walk {
  readonly #random: () => number;
  readonly #clock = aManualClock();
  /** Those that died as well. */
  readonly #all: JobsRouter[] = [];
  readonly #living: { router: JobsRouter; readonly diesAt: number }[] = [];
  #held: (() => void)[] = [];
  #store!: Store;
  #devices!: readonly DeviceId[];
  #row!: Message;
  #failsOften = 0;
  #chunksDone = 0;

  constructor(seed: number) {
    this.#random = seeded(seed);
  }
  #below(bound: number): number {
    return Math.floor(this.#random() * bound);
  }

  async run(t: TestContext): Promise<void> {
    const { store } = await aStore(t, this.#clock);
    this.#store = store;
    this.#devices = await someDevices(store, 'd', 2 * CHUNKS - 1);
    this.#row = await aList(store, this.#clock, { names: [...this.#devices, 'stranger'], chunkNames: 2 });
    assert.equal(spansOf(this.#row)?.length, 3);
    await store.putJobs([expandJob(this.#row)]);
    this.#failsOften = this.#random() < 0.5 ? 0.02 : 0;
    const cancelAt = this.#random() < 0.5 ? this.#below(ACTIONS) : null;
    for (let i = 0; i < 3; i++) this.#start();
    for (let action = 0; action < ACTIONS; action++) {
      if (action === cancelAt) await this.#cancel();
      await this.#act();
      await this.#look();
    }
    await this.#end();
    await this.#check(cancelAt !== null);
  }

  /** Some die, some hang for a while, some do neither and lose answers. Hanging past a lease and more trouble then is past what is promised. */
  #start(): void {
    const dies = this.#random() < 0.5;
    const hangsOften = !dies && this.#random() < 0.5 ? 0.03 : 0;
    const diesAt = dies ? 1 + this.#below(80) : Infinity;
    const router = aJobsRouter({
      store: hangsOften > 0 ? this.#store : this.#shaky(this.#store),
      clock: this.#clock,
      dieAt: diesAt,
      dieHow: this.#random() < 0.5 ? 'before' : 'after',
      hold: () => (this.#random() < hangsOften ? new Promise<void>((resolve) => this.#held.push(resolve)) : null),
    });
    this.#all.push(router);
    this.#living.push({ router, diesAt });
  }

  /** A store whose answers may be lost; of several jobs, which are in several places, some are put then. */
  #shaky(store: Store): Store {
    return new Proxy(store, {
      get: (target, property: keyof Store) => {
        const operation = target[property] as (...args: unknown[]) => Promise<unknown>;
        return async (...args: unknown[]): Promise<unknown> => {
          const failsOften = property === 'putJobs' ? 10 * this.#failsOften : this.#failsOften;
          if (this.#random() >= failsOften) return await operation.apply(target, args);
          if (property === 'putJobs') await store.putJobs((args[0] as Job[]).filter(() => this.#random() < 0.5));
          else if (this.#random() < 0.5) await operation.apply(target, args);
          throw new StoreUnavailableError('lost');
        };
      },
    });
  }

  async #act(): Promise<void> {
    const die = this.#random();
    if (die < 0.6) this.#living[this.#below(this.#living.length)]!.router.poke();
    else if (die < 0.75) this.#clock.advance(JOB_POLL_MS);
    else if (die < 0.85) this.#clock.advance(JOB_LEASE_MS + 1);
    else if (die < 0.95) this.#held.splice(this.#below(this.#held.length), 1).forEach((release) => release());
    else await this.#acceptAgain();
    for (let i = this.#below(25); i > 0; i--) await new Promise(setImmediate);
    for (const [i, { router, diesAt }] of this.#living.entries())
      if (router.steps() >= diesAt) {
        this.#living.splice(i, 1);
        this.#start();
        break;
      }
  }

  /** Half of the time its job is done at once, as by a router that has nothing else to do: what is appended later is not its to end. */
  async #cancel(): Promise<void> {
    const options = { store: this.#store, onJob: () => {} };
    await cancelMessage(options, SHOP, this.#row.id);
    if (this.#random() < 0.5) return;
    await cancelLists(options)(cancelJob(this.#row), { isOver: () => false });
    await this.#store.finishJobs([cancelJob(this.#row)]);
  }

  /** A retry of the push with its key. */
  async #acceptAgain(): Promise<void> {
    const [row] = await this.#store.messages(SHOP, [this.#row.id]);
    await resumeList({ store: this.#store, onJob: () => {} }, row!);
  }

  async #look(): Promise<void> {
    const [row] = await this.#store.messages(SHOP, [this.#row.id]);
    const { state, chunksDone, chunkMarks } = row!;
    assert.ok(chunksDone >= this.#chunksDone && chunksDone <= CHUNKS, `${chunksDone} done after ${this.#chunksDone}`);
    assert.equal(chunkMarks.replaceAll('0', '').length, chunksDone);
    assert.equal(chunksDone === CHUNKS && state === 'expanding', false);
    if (state === 'expanded') assert.equal(chunksDone, CHUNKS);
    this.#chunksDone = chunksDone;
  }

  /** Whoever hangs goes on, nothing is lost any more, and one that lives does what is left. */
  async #end(): Promise<void> {
    this.#failsOften = 0;
    for (let rounds = 0; ; rounds++) {
      this.#held.splice(0).forEach((release) => release());
      for (const router of this.#all) await router.rest();
      if (this.#held.length === 0 && (await this.#store.countJobs()) === 0) break;
      assert.ok(rounds < 40, 'jobs stay for ever');
      this.#clock.advance(JOB_LEASE_MS * 3);
      const router = aJobsRouter({ store: this.#store, clock: this.#clock });
      this.#all.push(router);
      router.poke();
    }
  }

  async #check(isCancelled: boolean): Promise<void> {
    await this.#look();
    const [row] = await this.#store.messages(SHOP, [this.#row.id]);
    const states = await statesOf(this.#store, this.#row, this.#devices);
    const { accepted, cancelled } = await this.#store.ledger(SHOP);
    const waiting = await this.#store.countWaiting(SHOP);
    if (isCancelled) {
      assert.equal(row!.state, 'cancelled');
      assert.deepEqual([states['waiting'], accepted, waiting], [undefined, cancelled, 0], JSON.stringify(states));
      return;
    }
    assert.deepEqual([row!.state, states], ['expanded', { waiting: this.#devices.length }]);
    assert.deepEqual([accepted, cancelled, waiting], [this.#devices.length, 0, this.#devices.length]);
    const told = new Set(this.#all.flatMap((router) => router.told.map(({ device }) => device)));
    assert.equal(told.size, this.#devices.length);
    for (const { counts } of this.#all) assert.equal(counts.expansions.recipients.dead, 0);
  }
}

test('R10: routers that die, hang and lose answers bring a split list to each recipient once, or to nobody when it is cancelled', async (t) => {
  const asked = process.env['SEED'];
  const start = asked === undefined ? Math.floor(Math.random() * 2 ** 30) : Number(asked);
  const walks = asked === undefined ? WALKS : 1;
  t.diagnostic(`seeds ${start} to ${start + walks - 1}`);
  for (let seed = start; seed < start + walks; seed++)
    try {
      await new Walk(seed).run(t);
    } catch (error) {
      throw new Error(`SEED=${seed}`, { cause: error });
    }
});
