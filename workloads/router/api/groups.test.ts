import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { TopicName } from '../../protocol/ids.ts';
import { LIMITS } from '../../protocol/limits.ts';
import { namesOf } from './api-fixtures.ts';
import { SHOP, aDevice, aRouter, aStore } from '../fixtures.ts';
import { MEMBERS_MAX } from './groups.ts';

async function aShop(t: Parameters<typeof aStore>[0]) {
  const { store } = await aStore(t);
  const { ask } = await aRouter(t, { store });
  const send = (method: string, path: string, body?: object) =>
    ask(path, {
      method,
      headers: { 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  return { store, send };
}

describe('a group', () => {
  test('is made, shown, changed and deleted', async (t) => {
    const { send } = await aShop(t);
    const made = await send('PUT', '/v1/groups/friends', { owner: 'ada', members: ['ada', 'bob'] });
    assert.deepEqual([made.status, made.body['members'], made.body['owner']], [201, 2, 'ada']);
    assert.match(String(made.body['createdAt']), /^\d{4}-/);
    const changed = await send('POST', '/v1/groups/friends/members', { join: ['eve', 'bob'], leave: ['ada', 'zoe'] });
    assert.deepEqual([changed.body['members'], changed.body['joined'], changed.body['left']], [2, 1, 1]);
    const members = await send('GET', '/v1/groups/friends/members');
    assert.deepEqual([members.body['accounts'], members.body['next']], [['bob', 'eve'], null]);
    assert.deepEqual((await send('GET', '/v1/groups/friends')).body, { ...made.body });
    assert.deepEqual((await send('DELETE', '/v1/groups/friends')).body, { group: 'friends', deleted: true });
    for (const [method, path, body] of [
      ['GET', '/v1/groups/friends', undefined],
      ['DELETE', '/v1/groups/friends', undefined],
      ['GET', '/v1/groups/friends/members', undefined],
      ['POST', '/v1/groups/friends/members', { join: ['ada'] }],
    ] as const) {
      const gone = await send(method, path, body);
      assert.deepEqual([gone.status, gone.body.error?.['code']], [404, 'group-unknown'], `${method} ${path}`);
    }
  });

  test('made twice by its owner stays as it is; by another one it is refused', async (t) => {
    const { send } = await aShop(t);
    await send('PUT', '/v1/groups/friends', { owner: 'ada', members: ['ada', 'bob'] });
    const again = await send('PUT', '/v1/groups/friends', { owner: 'ada', members: ['eve'] });
    assert.deepEqual([again.status, again.body['members']], [200, 2]);
    const other = await send('PUT', '/v1/groups/friends', { owner: 'eve', members: [] });
    assert.deepEqual([other.status, other.body.error?.['code']], [409, 'group-exists']);
  });

  test('has its members by page, sorted', async (t) => {
    const { send } = await aShop(t);
    const names = namesOf('a', 7) as readonly string[];
    await send('PUT', '/v1/groups/g', { owner: 'ada', members: names });
    const seen: string[] = [];
    for (let cursor = ''; ;) {
      const { body } = await send('GET', `/v1/groups/g/members?limit=3${cursor}`);
      seen.push(...(body['accounts'] as string[]));
      if (body['next'] === null) break;
      cursor = `&cursor=${body['next'] as string}`;
    }
    assert.deepEqual(seen, [...names, 'ada'].toSorted(), 'its owner is a member');
  });

  test(`takes at most ${LIMITS.groupMembersMax} members, ${MEMBERS_MAX} in a request`, async (t) => {
    const { store, send } = await aShop(t);
    const names = namesOf('a', LIMITS.groupMembersMax + 1) as readonly string[];
    await send('PUT', '/v1/groups/g', { owner: 'ada', members: names.slice(0, MEMBERS_MAX) });
    const past = await send('POST', '/v1/groups/g/members', { join: names.slice(0, MEMBERS_MAX + 1) });
    assert.deepEqual([past.status, past.body.error?.['field']], [400, 'join']);
    for (let from = MEMBERS_MAX; from < LIMITS.groupMembersMax; from += MEMBERS_MAX)
      await send('POST', '/v1/groups/g/members', { join: names.slice(from, from + MEMBERS_MAX) });
    const full = await send('POST', '/v1/groups/g/members', { join: names.slice(-1) });
    assert.deepEqual([full.status, full.body.error?.['code']], [409, 'group-full']);
    assert.equal((await store.groupMembers(SHOP, 'g', { after: null, limit: 1 }))?.members, LIMITS.groupMembersMax);
  });
});

test('subscribers of a topic are counted and paged', async (t) => {
  const { store, send } = await aShop(t);
  for (const name of ['d-1', 'd-2', 'd-3']) {
    const device = await aDevice(store, name);
    await store.subscribe(SHOP, device, [{ topic: 'news' as TopicName, filter: null }]);
  }
  const one = await send('GET', '/v1/topics/news/subscribers?limit=2');
  assert.deepEqual(one.body, { topic: 'news', count: 3, devices: ['d-1', 'd-2'], next: 'd-2' });
  const two = await send('GET', '/v1/topics/news/subscribers?limit=2&cursor=d-2');
  assert.deepEqual([two.body['devices'], two.body['next']], [['d-3'], null]);
  assert.deepEqual((await send('GET', '/v1/topics/quiet/subscribers')).body['count'], 0);
  const odd = await send('GET', '/v1/topics/news/subscribers?limit=501');
  assert.deepEqual([odd.status, odd.body.error?.['field']], [400, 'limit']);
});
