// The store contract on a real Redis Cluster of three masters; and what only a Cluster does: a slot that moves, a master that dies.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { onCluster, openAt, openEmpty, untilReachable } from './contract-setup.ts';
import { BUCKET_SLOTS, streamKey } from './keys.ts';
import { streamsSections } from '../contract.ts';
import { assertLedger } from '../contract-ledger.ts';
import { aMessage } from '../contract-messages.ts';
import {
  anAppend,
  anId,
  APP,
  appendAll,
  appended,
  aRecord,
  lane,
  register,
  texts,
  topic,
} from '../contract-subject.ts';
import { PartlyUnavailableError, StoreUnavailableError } from '../port.ts';
import type { AppendOutcome, Store } from '../port.ts';

onCluster(streamsSections, (theCluster) => {
  test('buckets are spread over the masters, and hash as Redis does', async () => {
    const cluster = theCluster();
    for (const bucket of [0, 1, 77, 4095]) {
      assert.equal(await cluster.masters[0]!.command('CLUSTER', 'KEYSLOT', `{${bucket}}`), BUCKET_SLOTS[bucket]);
    }
    const thirds = [0, 0, 0];
    for (const slot of BUCKET_SLOTS) thirds[Math.min(2, Math.floor(slot / 5461))]!++;
    for (const count of thirds) assert.ok(count > 1200 && count < 1530, thirds.join(', '));
  });

  /** Moves a slot, with what is in it, to another master. */
  async function moveSlot(slot: string): Promise<void> {
    const { masters } = theCluster();
    const ids = await Promise.all(masters.map(async (master) => String(await master.command('CLUSTER', 'MYID'))));
    const keysAt = await Promise.all(masters.map((master) => master.command('CLUSTER', 'COUNTKEYSINSLOT', slot)));
    const from = keysAt.findIndex((count) => Number(count) > 0);
    const to = (from + 1) % 3;
    const [source, target] = [masters[from]!, masters[to]!];
    await target.command('CLUSTER', 'SETSLOT', slot, 'IMPORTING', ids[from]!);
    await source.command('CLUSTER', 'SETSLOT', slot, 'MIGRATING', ids[to]!);
    const keys = (await source.command('CLUSTER', 'GETKEYSINSLOT', slot, '100')) as string[];
    await source.command('MIGRATE', '127.0.0.1', `${target.port}`, '', '0', '5000', 'KEYS', ...keys);
    for (const master of [target, source]) await master.command('CLUSTER', 'SETSLOT', slot, 'NODE', ids[to]!);
  }

  test('a stream whose slot moved is found again, with its entries; its next append opens an epoch', async () => {
    const { store, close } = await openEmpty(theCluster().masters, theCluster().url);
    const { epoch } = appended((await appendAll(store, topic('moving'), ['a']))[0]);
    await moveSlot(`${BUCKET_SLOTS[streamKey(topic('moving')).bucket]!}`);
    const next = appended((await appendAll(store, topic('moving'), ['b']))[0]);
    assert.equal(next.offset, 2);
    const [read] = await store.read([{ stream: topic('moving'), after: { epoch, offset: 1 }, entriesMax: 9 }]);
    assert.deepEqual([read!.notRecovered, read!.epoch, texts(read!.entries)], [null, next.epoch, ['b']]);
    await close();
  });

  test('a walk over all buckets that meets a slot that moved rejects at most once, and then finds everything', async () => {
    const { store, close } = await openEmpty(theCluster().masters, theCluster().url);
    await register(store, 'd1');
    await appendAll(store, lane('d1'), ['a', 'b']);
    await moveSlot(`${BUCKET_SLOTS[streamKey(lane('d1')).bucket]!}`);
    await store.ledger(APP).catch((error: unknown) => assert.ok(error instanceof StoreUnavailableError));
    await assertLedger(store, { accepted: 2 });
    await close();
  });

  /** With a master away: of what is asked together the rest is done, and the rejection says which. */
  async function assertPartly(store: Store): Promise<void> {
    const appends = Array.from({ length: 60 }, (_, i) => anAppend(topic(`p${i}`), 'x'));
    const appending = await store.append(appends).catch((error: unknown) => error);
    assert.ok(appending instanceof PartlyUnavailableError);
    const outcomes = appending.outcomes as readonly (AppendOutcome | null)[];
    const alone = await Promise.allSettled(appends.map((append) => store.append([append])));
    alone.forEach((end, i) => {
      if (end.status === 'rejected') return assert.equal(outcomes[i], null);
      assert.deepEqual(appended(outcomes[i]!), { ...appended(end.value[0]), duplicate: false });
    });
    const messages = Array.from({ length: 60 }, (_, i) =>
      aMessage(anId(), { record: i < 30 ? aRecord('large') : null }),
    );
    const chunks = messages.slice(30).map(({ app, id }) => ({ app, id, index: 0, names: ['d1'] }));
    const putting = await store.putMessages(messages, chunks).catch((error: unknown) => error);
    assert.ok(putting instanceof PartlyUnavailableError);
    const found = await Promise.all(messages.map(({ id }) => store.messages(APP, [id]).catch(() => [null])));
    found.forEach(([message], i) => assert.equal(message === null, putting.outcomes[i] === null, `message ${i}`));
  }

  test('a master that dies takes its slots with it and no others; back again, all is served', async () => {
    const cluster = theCluster();
    const store = await openAt(cluster.url);
    const refs = Array.from({ length: 60 }, (_, i) => topic(`t${i}`));
    const dead = cluster.masters[2]!;
    await dead.kill();
    const outcomes = await Promise.allSettled(refs.map((ref) => store.append([anAppend(ref, 'x')])));
    const failed = outcomes.filter((o) => o.status === 'rejected');
    assert.ok(failed.length > 0 && failed.length < 60, `${failed.length} failed`);
    for (const { reason } of failed) assert.ok(reason instanceof StoreUnavailableError);
    assert.equal((await store.health()).reachable, false);
    await assertPartly(store);
    await dead.start();
    spawnSync('redis-cli', ['-p', `${dead.port}`, 'ping'], { timeout: 5000 });
    for (let i = 0; !(await store.health()).reachable && i < 500; i++)
      await new Promise((resolve) => setTimeout(resolve, 20));
    await untilReachable(store);
    await Promise.all(refs.map((ref) => store.append([anAppend(ref, 'x')])));
    await store.close();
  });
});
