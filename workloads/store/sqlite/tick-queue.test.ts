// The tick's transaction: order, its bound, closing.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openDatabase } from './database.ts';
import { TickQueue } from './tick-queue.ts';
import { StoreUnavailableError } from '../port.ts';

test('jobs of a tick run in the order asked, inside one transaction', async () => {
  const db = openDatabase(':memory:');
  const queue = new TickQueue(db);
  const seen: string[] = [];
  await Promise.all(['a', 'b', 'c'].map((name) => queue.ask(() => seen.push(`${name} ${db.isTransaction}`))));
  assert.deepEqual(seen, ['a true', 'b true', 'c true']);
  assert.equal(db.isTransaction, false);
  db.close();
});

test('takes jobs up to its most in a tick, rejects one more, and takes again in the next', async () => {
  const db = openDatabase(':memory:');
  const queue = new TickQueue(db, { jobsMax: 2 });
  const [one, two, three] = [queue.ask(() => 1), queue.ask(() => 2), queue.ask(() => 3)];
  await assert.rejects(three, StoreUnavailableError);
  assert.deepEqual(await Promise.all([one, two]), [1, 2]);
  assert.equal(await queue.ask(() => 4), 4);
  db.close();
});

test('closing commits what was asked, dropping does not, and both reject what comes after', async () => {
  for (const end of ['close', 'drop'] as const) {
    const db = openDatabase(':memory:');
    const queue = new TickQueue(db);
    const asked = queue.ask(() => 'done');
    const outcome = Promise.allSettled([asked]);
    queue[end]();
    assert.equal((await outcome)[0].status, end === 'close' ? 'fulfilled' : 'rejected');
    await assert.rejects(
      queue.ask(() => 1),
      StoreUnavailableError,
    );
    db.close();
  }
});

test('what the jobs left to be written is written before the commit, and forgotten when they are rolled back', async () => {
  const db = openDatabase(':memory:');
  const seen: string[] = [];
  const hooks = {
    write: () => void seen.push(`write ${db.isTransaction}`),
    discard: () => void seen.push('discard'),
  };
  const queue = new TickQueue(db, { hooks });
  await queue.ask(() => 1);
  const failing = queue.ask(() => {
    throw new Error('broken');
  });
  await assert.rejects(failing, StoreUnavailableError);
  assert.deepEqual(seen, ['write true', 'discard']);
  db.close();
});
