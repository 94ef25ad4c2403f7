import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { openLink } from '../../link/client.ts';
import type { Reply } from '../../protocol/link.ts';
import { silentLog } from '../../runtime/log.ts';
import { APP, World } from '../fixtures.ts';
import type { TestGateway } from '../fixtures.ts';
import { until } from '../test-client.ts';

let world: World;
let gateway: TestGateway;
beforeEach(async () => {
  world = new World();
  gateway = await world.gateway();
});
afterEach(() => world.end());

/** Asks as a router does. */
async function ask(op: string, body: string): Promise<{ status: number; body: Record<string, unknown> }> {
  const replies: Reply[] = [];
  const link = openLink({
    address: `127.0.0.1:${gateway.role.ports['link']}`,
    keys: () => world.keys.current().link,
    name: 'router-0',
    clock: world.clock,
    log: silentLog,
    onFrame: (frame) => {
      if (frame.kind === 'reply') replies.push(frame);
    },
    onDown: () => {},
  });
  await until('the link is up', () => link.isUp());
  link.send({ kind: 'command', seq: 7, op, app: APP, account: '', device: '', body: Buffer.from(body) });
  await until('the command was answered', () => replies.length > 0);
  link.kill();
  assert.equal(replies[0]!.seq, 7);
  return {
    status: replies[0]!.status,
    body: JSON.parse(Buffer.from(replies[0]!.body).toString()) as Record<string, unknown>,
  };
}

test('a router asks for the trace of a device, and hears when it came and went', async () => {
  const client = await gateway.connect({ token: await world.device('d') });
  client.send({ type: 'bye' });
  await client.end();
  const { status, body } = await ask('trace', '{"device":"d"}');
  const events = body['events'] as { event: string; detail?: string }[];
  assert.equal(status, 200);
  assert.deepEqual([body['gateway'], typeof body['bootId']], ['gateway-0', 'string']);
  assert.deepEqual(
    events.map(({ event, detail }) => [event, detail]),
    [
      ['connected', undefined],
      ['closed', 'by the client'],
    ],
  );
});

test('questions that are none are refused as the API would', async () => {
  for (const [op, body, status] of [
    ['trace', '{}', 400],
    ['trace', '{', 400],
    ['trace', '{"messageId":"m"}', 400],
    ['push', '{}', 404],
  ] as const)
    assert.equal((await ask(op, body)).status, status, `${op} ${body}`);
});
