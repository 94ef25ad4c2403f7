import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { openLink } from '../../link/client.ts';
import type { Link } from '../../link/client.ts';
import type { AccountId, DeviceId } from '../../protocol/ids.ts';
import type { Command } from '../../protocol/link.ts';
import { silentLog } from '../../runtime/log.ts';
import { COMMAND_TIMEOUT_MS, CONNECTION_COMMANDS_MAX } from './client-commands.ts';
import { World } from '../fixtures.ts';
import type { TestGateway } from '../fixtures.ts';
import type { TestClient } from '../test-client.ts';
import { turns, until } from '../test-client.ts';

let world: World;
let gateway: TestGateway;
let client: TestClient;
beforeEach(async () => {
  world = new World();
  gateway = await world.gateway();
  client = await gateway.connect({ token: await world.device('d') });
});
afterEach(() => world.end());

/** A router that collects commands and answers when told. */
class TestRouter {
  readonly link: Link;
  readonly asked: Command[] = [];

  constructor(name: string) {
    this.link = openLink({
      address: `127.0.0.1:${gateway.role.ports['link']}`,
      keys: () => world.keys.current().link,
      name,
      clock: world.clock,
      log: silentLog,
      onFrame: (frame) => {
        if (frame.kind === 'command') this.asked.push(frame);
      },
      onDown: () => {},
    });
  }
  reply(command: Command, status: number, body: unknown): void {
    this.link.send({ kind: 'reply', seq: command.seq, status, body: Buffer.from(JSON.stringify(body)) });
  }
}
async function routers(...names: string[]): Promise<TestRouter[]> {
  const made = names.map((name) => new TestRouter(name));
  await until('the links are up', () => made.every(({ link }) => link.isUp()));
  await turns();
  return made;
}
const send = (id: number): void =>
  client.send({ type: 'send', id, key: `k${id}`, to: { device: 'other' as DeviceId }, body: { id } });
const input = ({ body }: Command): unknown => JSON.parse(Buffer.from(body).toString());

describe('a send of a client', () => {
  test('goes to a router with who sent it, and is answered sent with the message’s id', async () => {
    const [router] = await routers('router-0');
    send(7);
    await until('the router was asked', () => router!.asked.length === 1);
    const [command] = router!.asked;
    assert.deepEqual([command!.op, command!.app, command!.account, command!.device], ['send', 'shop', 'ann', 'd']);
    assert.deepEqual(input(command!), { type: 'send', id: 7, key: 'k7', to: { device: 'other' }, body: { id: 7 } });
    router!.reply(command!, 202, { id: 'M1', state: 'accepted' });
    assert.deepEqual(await client.next('sent'), { type: 'sent', id: 7, messageId: 'M1' });
  });

  test('that is refused is answered as the API would', async () => {
    const [router] = await routers('router-0');
    send(1);
    send(2);
    await until('the router was asked', () => router!.asked.length === 2);
    router!.reply(router!.asked[0]!, 429, { error: { code: 'rate-limited', message: 'slow down', retryAfterMs: 70 } });
    router!.reply(router!.asked[1]!, 500, { error: { code: 'made up' } });
    const [first, second] = [await client.next('error'), await client.next('error')];
    assert.deepEqual([first.id, first.code, first.message, first.retryAfterMs], [1, 'rate-limited', 'slow down', 70]);
    assert.deepEqual([second.id, second.code], [2, 'internal']);
  });

  test('goes to the same router each time, and to another one when that one’s link falls', async () => {
    const both = await routers('router-0', 'router-1');
    for (const id of [1, 2, 3, 4]) send(id);
    await until('they were asked', () => both.some(({ asked }) => asked.length === 4));
    const own = both.find(({ asked }) => asked.length === 4)!;
    const other = both.find((router) => router !== own)!;
    own.link.kill();
    await until('the other was asked', () => other.asked.length === 4);
    for (const command of other.asked) other.reply(command, 202, { id: `M${command.seq}` });
    for (const id of [1, 2, 3, 4]) assert.equal((await client.next('sent')).id, id);
  });

  test('is put off when no router is linked, or none is left to try', async () => {
    send(1);
    const first = await client.next('error');
    assert.deepEqual([first.id, first.code, first.retryAfterMs], [1, 'overloaded', 1500]);
    const [router] = await routers('router-0');
    send(2);
    await until('the router was asked', () => router!.asked.length === 1);
    router!.link.kill();
    assert.equal((await client.next('error')).id, 2);
  });

  test('is given up when nobody answers in time, not a moment before, and a late answer is nothing', async () => {
    const [router] = await routers('router-0');
    send(1);
    await until('the router was asked', () => router!.asked.length === 1);
    await world.pass(COMMAND_TIMEOUT_MS - 100);
    assert.deepEqual(client.unread, []);
    await world.pass(200);
    assert.equal((await client.next('error')).code, 'overloaded');
    router!.reply(router!.asked[0]!, 202, { id: 'M1' });
    await turns();
    assert.deepEqual(client.unread, []);
  });

  test('is refused while as many as the limit are under way, and taken again after', async () => {
    const [router] = await routers('router-0');
    for (let id = 1; id <= CONNECTION_COMMANDS_MAX + 1; id++) send(id);
    const refused = await client.next('error');
    assert.deepEqual([refused.id, refused.code], [CONNECTION_COMMANDS_MAX + 1, 'rate-limited']);
    await until('the router was asked', () => router!.asked.length === CONNECTION_COMMANDS_MAX);
    router!.reply(router!.asked[0]!, 202, { id: 'M1' });
    await client.next('sent');
    send(99);
    await until('it was asked again', () => router!.asked.length === CONNECTION_COMMANDS_MAX + 1);
  });
});

test('groups are made and paged through a router', async () => {
  const [router] = await routers('router-0');
  client.send({ type: 'group', id: 1, op: 'create', group: 'friends', members: ['bob' as AccountId] });
  client.send({ type: 'group', id: 2, op: 'members', group: 'friends' });
  await until('the router was asked', () => router!.asked.length === 2);
  assert.deepEqual(input(router!.asked[0]!), {
    type: 'group',
    id: 1,
    op: 'create',
    group: 'friends',
    members: ['bob'],
  });
  router!.reply(router!.asked[0]!, 200, { group: 'friends' });
  router!.reply(router!.asked[1]!, 200, { group: 'friends', count: 2, members: ['ann', 'bob'], next: null });
  assert.deepEqual(await client.next('grouped'), { type: 'grouped', id: 1, group: 'friends' });
  assert.deepEqual(await client.next('grouped'), {
    type: 'grouped',
    id: 2,
    group: 'friends',
    members: ['ann', 'bob'],
    count: 2,
    next: null,
  });
});
