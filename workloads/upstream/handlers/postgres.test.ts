// The handler database on a real PostgreSQL.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { findPart, missingPart } from '../../../e2e/setup/parts.ts';
import { silentLog } from '../../runtime/log.ts';
import { aMessage } from '../fixtures.ts';
import { TestPostgres } from '../test-postgres.ts';
import { HandlerUnavailableError } from './handler.ts';
import { TABLE, openPostgresTable } from './postgres.ts';

const skip = missingPart('postgres', 'initdb') ?? false;

describe('the handler database on PostgreSQL', { skip }, () => {
  let server: TestPostgres;
  before(async () => {
    server = await TestPostgres.start({ postgres: findPart('postgres')!, initdb: findPart('initdb')! });
  });
  after(async () => {
    await server?.remove();
  });
  beforeEach(async () => {
    await server.query(`DROP TABLE IF EXISTS ${TABLE}`);
  });

  const open = (timeoutMs = 5000) => openPostgresTable(server.url, { timeoutMs, log: silentLog });
  const kindsOf = (outcomes: readonly { kind: string }[]): string[] => outcomes.map(({ kind }) => kind);

  test('stores a call in its order, each message once, with its columns', async () => {
    const handler = open();
    const messages = ['a', 'b', 'a', 'c'].map((key) => aMessage({ key, body: { key, t: 'ä' } }));
    assert.deepEqual(kindsOf(await handler.handle(messages)), ['handled', 'handled', 'duplicate', 'handled']);
    assert.deepEqual(kindsOf(await handler.handle([aMessage({ key: 'b' }), aMessage({ key: 'd' })])), [
      'duplicate',
      'handled',
    ]);
    const rows = await server.query(`SELECT * FROM ${TABLE} ORDER BY seq`);
    assert.deepEqual(
      rows.map(({ key }) => key),
      ['a', 'b', 'c', 'd'],
    );
    const { app, device, account, kind, body, received_at: receivedAt } = rows[0]!;
    assert.deepEqual(
      { app, device, account, kind, body, receivedAt },
      {
        app: 'shop',
        device: 'd',
        account: 'ann',
        kind: 'order',
        body: { key: 'a', t: 'ä' },
        receivedAt: new Date(1_800_000_000_000),
      },
    );
    await handler.close();
  });

  test('the same key of another device is another message', async () => {
    const handler = open();
    const messages = ['d', 'e'].map((device) => aMessage({ device }));
    assert.deepEqual(kindsOf(await handler.handle(messages)), ['handled', 'handled']);
    await handler.close();
  });

  test('what cannot be stored is rejected alone', async () => {
    const handler = open();
    const messages = [aMessage({ key: 'a' }), aMessage({ key: 'b', body: 'a\u0000b' }), aMessage({ key: 'c' })];
    const outcomes = await handler.handle(messages);
    assert.deepEqual(kindsOf(outcomes), ['handled', 'rejected', 'handled']);
    assert.match(outcomes[1]?.kind === 'rejected' ? outcomes[1].reason : '', /22P05/);
    await handler.close();
  });

  test('starts of several roles at once make one table', async () => {
    const handlers = Array.from({ length: 6 }, () => open());
    const outcomes = await Promise.all(handlers.map((handler, i) => handler.handle([aMessage({ key: `${i}` })])));
    assert.deepEqual(
      outcomes.flatMap(kindsOf),
      Array.from({ length: 6 }, () => 'handled'),
    );
    await Promise.all(handlers.map((handler) => handler.close()));
  });

  test('a database that is away is not the message’s fault; it goes on when it is back, and stores nothing twice', async () => {
    const handler = open(1000);
    await handler.handle([aMessage({ key: 'a' })]);
    await server.kill();
    await assert.rejects(handler.handle([aMessage({ key: 'b' })]), HandlerUnavailableError);
    await server.start();
    assert.deepEqual(kindsOf(await handler.handle(['a', 'b'].map((key) => aMessage({ key })))), [
      'duplicate',
      'handled',
    ]);
    await handler.close();
  });
});
