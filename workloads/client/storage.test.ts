import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { Epoch, MessageId } from '../protocol/ids.ts';
import { openSqliteStorage } from './storage-sqlite.ts';
import { openWebStorage } from './storage-web.ts';
import { STORED_IDS_MAX, openMemoryStorage } from './storage.ts';
import type { Storage, StoredMessage, StoredSession } from './storage.ts';

const E1 = 'e1' as Epoch;
const SESSION: StoredSession = {
  owner: 'shop ada phone-1',
  token: { value: 'token', expiresAtMs: 5 },
  ticket: 'ticket',
  targets: ['ws://127.0.0.1:1/'],
  gateways: [{ name: 'gw-0', url: 'ws://127.0.0.1:1/' }],
};

function aMessage(id: string, body: unknown = null): StoredMessage {
  return { stream: '@normal', id: id as MessageId, sentAtMs: 5, attributes: { level: 1 }, body };
}

interface Kind {
  readonly name: string;
  /** Opens it anew over what was kept. */
  readonly make: () => { open: () => Storage; clean: () => void; survives: boolean };
}
const KINDS: readonly Kind[] = [
  {
    name: 'memory',
    make: () => {
      const storage = openMemoryStorage();
      return { open: () => storage, clean: () => {}, survives: false };
    },
  },
  {
    name: 'sqlite',
    make: () => {
      const dir = mkdtempSync(join(tmpdir(), 'client-storage-'));
      const clean = (): void => rmSync(dir, { recursive: true });
      return { open: () => openSqliteStorage(join(dir, 'device.db')), clean, survives: true };
    },
  },
  {
    name: 'web',
    make: () => {
      const items = new Map<string, string>();
      const store = {
        getItem: (key: string) => items.get(key) ?? null,
        setItem: (key: string, value: string) => void items.set(key, value),
      };
      return { open: () => openWebStorage(store, 'pushcluster/shop/phone-1'), clean: () => {}, survives: true };
    },
  },
];

for (const { name, make } of KINDS) {
  describe(`storage ${name}`, () => {
    test('begins empty', async () => {
      const { open, clean } = make();
      const storage = open();
      assert.deepEqual(await storage.load(), { positions: [], seen: [], outgoing: [], session: null });
      await storage.close();
      clean();
    });

    test('keeps the newest position of each stream, ids in order, what is not yet taken, and the session', async () => {
      const { open, clean } = make();
      let storage = open();
      await storage.save({
        positions: [{ stream: '@normal', epoch: E1, offset: 1 }],
        messages: [aMessage('a')],
        outgoingAdded: [
          { key: 'k1', message: { type: 'upstream', kind: 'order', body: { n: 1 } } },
          { key: 'k2', message: { type: 'send', to: { group: 'lunch' }, ttlMs: 5, body: null } },
        ],
        session: { ...SESSION, ticket: null },
      });
      await storage.save({
        positions: [
          { stream: '@normal', epoch: E1, offset: 3 },
          { stream: '@high', epoch: E1, offset: 1 },
        ],
        messages: [aMessage('b')],
        outgoingRemoved: ['k1'],
        session: SESSION,
      });
      await storage.close();
      storage = open();
      const state = await storage.load();
      assert.deepEqual(
        new Map(state.positions.map((position) => [position.stream, position.offset])),
        new Map([
          ['@normal', 3],
          ['@high', 1],
        ]),
      );
      assert.deepEqual(state.seen, [
        { stream: '@normal', id: 'a' },
        { stream: '@normal', id: 'b' },
      ]);
      assert.deepEqual(state.outgoing, [
        { key: 'k2', message: { type: 'send', to: { group: 'lunch' }, ttlMs: 5, body: null } },
      ]);
      assert.deepEqual(state.session, SESSION);
      await storage.close();
      clean();
    });

    test(`keeps at least the newest ${STORED_IDS_MAX} ids, and not without bound`, async () => {
      const { open, clean } = make();
      const storage = open();
      for (let batch = 0; batch < 5; batch++)
        await storage.save({ messages: Array.from({ length: 500 }, (_, i) => aMessage(`${batch * 500 + i}`)) });
      const { seen } = await storage.load();
      assert.ok(seen.length >= STORED_IDS_MAX && seen.length <= STORED_IDS_MAX * 2, String(seen.length));
      assert.equal(seen.at(-1)?.id, '2499');
      await storage.close();
      clean();
    });
  });
}

test('sqlite keeps the messages that the application was given, bounded', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'client-storage-'));
  const storage = openSqliteStorage(join(dir, 'device.db'));
  await storage.save({ messages: [aMessage('a', { n: 1 }), { ...aMessage('b', 'text'), attributes: null }] });
  assert.deepEqual(storage.messages(10), [{ ...aMessage('b', 'text'), attributes: null }, aMessage('a', { n: 1 })]);
  for (let i = 0; i < STORED_IDS_MAX; i++) await storage.save({ messages: [aMessage(`n${i}`)] });
  assert.equal(storage.messages(10_000).length, STORED_IDS_MAX);
  await storage.close();
  rmSync(dir, { recursive: true });
});

test('sqlite saves all of a save or nothing', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'client-storage-'));
  const storage = openSqliteStorage(join(dir, 'device.db'));
  const broken = { stream: '@normal', epoch: null as unknown as Epoch, offset: 2 } as const;
  await assert.rejects(storage.save({ positions: [{ stream: '@high', epoch: E1, offset: 1 }, broken] }));
  assert.deepEqual((await storage.load()).positions, []);
  await storage.save({ positions: [{ stream: '@high', epoch: E1, offset: 1 }] });
  await storage.close();
  rmSync(dir, { recursive: true });
});

test('web takes what is not its own for empty, and keeps the former state when the quota is reached', async () => {
  let full = false;
  let text = '{"positions":1}';
  const store = {
    getItem: () => text,
    setItem: (_: string, value: string) => {
      if (full) throw new Error('QuotaExceededError');
      text = value;
    },
  };
  const storage = openWebStorage(store, 'key');
  await storage.save({ positions: [{ stream: '@high', epoch: E1, offset: 1 }] });
  full = true;
  await assert.rejects(storage.save({ positions: [{ stream: '@high', epoch: E1, offset: 2 }] }));
  assert.equal((await storage.load()).positions[0]?.offset, 1);
});
