// Every example of the protocol page (protocol/README.md) that a client sends, sent to a real gateway as it is written there; only the
// credentials are exchanged for good ones.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { openInProcessBus } from '../bus/in-process.ts';
import type { ClientFrame, ServerFrame } from '../protocol/frames.ts';
import { FRAME_FIELDS, protocolExamples } from '../protocol/page.ts';
import { silentLog } from '../runtime/log.ts';
import { World } from './fixtures.ts';
import type { TestGateway } from './fixtures.ts';
import { turns } from './test-client.ts';
import type { TestClient } from './test-client.ts';

const PAGE = readFileSync(join(import.meta.dirname, '../protocol/README.md'), 'utf8');
const examples = [...protocolExamples(PAGE)].filter(({ direction }) => direction === 'client');

/** What the gateway answers; null: nothing. */
const ANSWERS: Readonly<Record<ClientFrame['type'], ServerFrame['type'] | null>> = {
  hello: 'welcome',
  ack: null,
  nack: null,
  pull: 'pulled',
  fetch: 'error',
  send: 'error',
  group: 'error',
  subscribe: 'subscribed',
  unsubscribe: 'unsubscribed',
  upstream: 'taken',
  ping: 'pong',
  bye: null,
};

describe('the examples of the protocol page, sent for real', () => {
  let world: World;
  let gateway: TestGateway;
  before(async () => {
    world = new World();
    gateway = await world.gateway({}, { bus: openInProcessBus({ clock: world.clock, log: silentLog }) });
  });
  after(() => world.end());

  test('there is one for each frame of the client', () => {
    assert.deepEqual(new Set(examples.map(({ frame }) => frame['type'])), new Set(Object.keys(ANSWERS)));
  });

  for (const [i, { name, frame }] of examples.entries()) {
    test(`${name} is taken and answered as the page says`, async () => {
      const token = await world.device(`device-${i}`, { topics: ['*'] });
      const type = frame['type'] as ClientFrame['type'];
      const client = type === 'hello' ? await gateway.socket() : await gateway.connect({ token });
      const { ticket: _example, ...rest } = frame;
      client.send((type === 'hello' ? { ...rest, token } : frame) as unknown as ClientFrame);
      const answer = ANSWERS[type];
      if (answer !== null) assertForm(await client.next(answer));
      else await assertStays(client, type);
    });
  }
});

/** An answer has all the fields that the page requires, and none that it does not know. */
function assertForm(frame: ServerFrame): void {
  const fields = FRAME_FIELDS[frame.type] as Readonly<Record<string, 'required' | 'optional'>>;
  const have = Object.keys(frame).filter((key) => key !== 'type');
  for (const [field, need] of Object.entries(fields)) if (need === 'required') assert.ok(have.includes(field), field);
  assert.deepEqual(
    have.filter((key) => !(key in fields)),
    [],
  );
}

async function assertStays(client: TestClient, type: ClientFrame['type']): Promise<void> {
  if (type === 'bye') {
    assert.equal((await client.end()).code, 1000);
    return;
  }
  await turns();
  assert.equal(client.closed, null);
}
