import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { test } from 'node:test';
import type { AccountId, AppId } from '../../protocol/ids.ts';
import { SHOP, aDeadLetter, aDevice, aRouter, aStore, aWatchedText, anApp, appsText } from '../fixtures.ts';
import { eventually } from './api-fixtures.ts';

const THIEF_KEY = 'thief-key-0123456789abcdef';

test('an app gets nothing of another one by any path: not what is there, not whether it is there, and changes nothing', async (t) => {
  const { store } = await aStore(t);
  const thief = anApp({ name: 'thief' as AppId, apiKeys: [{ name: 'k', sha256: hash('sha256', THIEF_KEY) }] });
  const { ask, push } = await aRouter(t, { store, apps: aWatchedText(appsText([anApp(), thief])) });
  await aDevice(store, 'phone-1');
  const letter = await aDeadLetter(store, 'phone-1');
  await store.changeGroup(SHOP, 'friends', {
    kind: 'create',
    owner: 'ada' as AccountId,
    members: ['ada' as AccountId],
  });
  await store.subscribe(SHOP, letter.device, [{ topic: 'news' as never }]);
  const one = await push({ target: { device: 'phone-1' }, text: 'mine' });
  const list = await push({ target: { devices: ['phone-1'] }, text: 'mine too' });
  const later = await push({ target: { device: 'phone-1' }, text: 'later', delayMs: 3_600_000 });
  const json = { 'content-type': 'application/json' };
  const act = (body: object) => ({ method: 'POST', headers: json, body: JSON.stringify(body) });
  const walk = await ask('/v1/dead-letters/actions', act({ action: 'hold', all: true }));
  const walkPath = `/v1/dead-letters/actions/${String(walk.body['id'])}`;
  await eventually(async () => (await ask(walkPath)).body['state'] === 'done');
  await eventually(async () => (await ask(`/v1/messages/${String(list.body['id'])}`)).body['state'] === 'expanded');

  const reads = [
    ...[one, list, later].flatMap(({ body: { id } }) => [
      `/v1/messages/${String(id)}`,
      `/v1/messages/${String(id)}/deliveries`,
      `/v1/messages/${String(id)}/trace`,
    ]),
    '/v1/devices/phone-1',
    '/v1/devices/phone-1/waiting',
    '/v1/devices/phone-1/trace',
    '/v1/accounts/ada/devices',
    '/v1/topics/news/subscribers',
    '/v1/dead-letters',
    '/v1/dead-letters?device=phone-1',
    `/v1/dead-letters/${letter.id}`,
    walkPath,
    '/v1/groups/friends',
    '/v1/groups/friends/members',
    '/v1/ledger',
  ];
  const look = async () => await Promise.all(reads.map(async (path) => (await ask(path)).body));
  const before = await look();
  assert.ok(before.every((body) => body.error === undefined));

  const steal = async (path: string, init: RequestInit = {}) =>
    await ask(path, { ...init, headers: { ...json, authorization: `Bearer ${THIEF_KEY}` } });
  const secrets = ['ada', 'poison', letter.messageId, 'gw-', one.body['id'] as string];
  for (const path of reads) {
    const { status, body } = await steal(path);
    assert.ok(status === 404 || status === 200, path);
    const asked = decodeURIComponent(path);
    const text = JSON.stringify(body).replace(/"traceId":"[0-9a-f]+"/, ''); // chance writes 'ada' as well
    for (const secret of secrets) assert.ok(!text.includes(secret) || asked.includes(secret), `${path}: ${text}`);
  }
  for (const [path, init] of [
    ...[one, list, later].map(({ body }) => [`/v1/messages/${String(body['id'])}`, { method: 'DELETE' }] as const),
    [walkPath, { method: 'DELETE' }],
    ['/v1/groups/friends', { method: 'DELETE' }],
    ['/v1/groups/friends/members', act({ join: ['mallory'] })],
    ['/v1/messages', act({ target: { device: 'phone-1' }, text: 'x' })],
    ['/v1/messages', act({ target: { account: 'ada' }, text: 'x' })],
    ['/v1/messages', act({ target: { group: 'friends' }, text: 'x' })],
  ] as const) {
    const { status, body } = await steal(path, init);
    assert.equal(status, 404, `${path} ${JSON.stringify(body)}`);
  }
  for (const action of ['redrive', 'drop', 'hold', 'release']) {
    const { body } = await steal('/v1/dead-letters/actions', act({ action, ids: [letter.id] }));
    assert.deepEqual([body['done'], body['results']], [0, [{ id: letter.id, outcome: 'unknown' }]], action);
  }
  // A key that the other app used is no key of this one.
  const keyed = { target: { topic: 'news' }, text: 'x', idempotencyKey: 'order-7' };
  const mine = await push(keyed);
  const theirs = await steal('/v1/messages', act(keyed));
  assert.deepEqual([theirs.status, theirs.body['duplicate']], [202, false]);
  assert.notEqual(theirs.body['id'], mine.body['id']);
  const after = await look();
  assert.deepEqual(after.slice(0, -1), before.slice(0, -1));
});
