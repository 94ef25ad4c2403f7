import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import { Ajv } from 'ajv';
import type { AccountId } from '../../protocol/ids.ts';
import type { Store } from '../../store/port.ts';
import { API_ROUTES } from './api.ts';
import { SHOP, aDeadLetter, aDevice, aRouter, aStore } from '../fixtures.ts';
import type { AnsweredPush } from '../fixtures.ts';
import { openApiDocument } from './openapi.ts';
import { EXAMPLE_ID } from './openapi/messages.ts';
import { MESSAGE_EXAMPLES } from './openapi/push.ts';

type Node = Readonly<Record<string, unknown>>;
interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly example?: string;
}
interface Operation {
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { content: { 'application/json': { examples: Record<string, { value: Node }> } } };
  readonly responses: Node;
}
const paths = openApiDocument.paths as unknown as Readonly<Record<string, Readonly<Record<string, Operation>>>>;

/** Checks values against schemas of the document. */
const ajv = new Ajv({ strict: false, allErrors: true });
ajv.addSchema({ $id: 'doc', ...openApiDocument });

function assertSchema(pointer: string, value: unknown): void {
  const check = ajv.compile({ $ref: `doc#/paths/${pointer}/content/application~1json/schema` });
  assert.ok(check(value), JSON.stringify([value, check.errors]));
}
function pointerTo(path: string, method: string): string {
  return `${encodeURIComponent(path.replaceAll('~', '~0').replaceAll('/', '~1'))}/${method}`;
}
/** Its status is documented, and its body is as that status says. */
function assertAnswer(path: string, method: string, answer: AnsweredPush): void {
  const { responses } = paths[path]![method]!;
  assert.ok(String(answer.status) in responses, `${answer.status} is not documented: ${JSON.stringify(answer.body)}`);
  assertSchema(`${pointerTo(path, method)}/responses/${answer.status}`, answer.body);
}

/** What the examples speak of: phone-1 of ada, a group, a dead letter. */
async function aShop(t: TestContext) {
  const { store, failing } = await aStore(t);
  await aDevice(store, 'phone-1');
  await store.changeGroup(SHOP, 'friends', {
    kind: 'create',
    owner: 'ada' as AccountId,
    members: ['ada' as AccountId],
  });
  return { store, failing, ...(await aRouter(t, { store })) };
}

describe('every example of a message is answered as the document says', () => {
  for (const [name, { summary, value }] of Object.entries(MESSAGE_EXAMPLES))
    test(`${name}: ${summary}`, async (t) => {
      const { push } = await aShop(t);
      const answer = await push(value);
      assert.equal(answer.status, name === 'batch' ? 207 : 202, JSON.stringify(answer.body));
      assertAnswer('/v1/messages', 'post', answer);
      assertSchema(`${pointerTo('/v1/messages', 'post')}/requestBody`, value);
    });
});

describe('every other operation is answered as the document says', () => {
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );
  for (const { path, method, operation } of operations) {
    if (['/v1/messages', '/v1/openapi.json', '/v1/keys'].includes(path)) continue; // webhooks.test.ts asks for the keys
    test(`${method.toUpperCase()} ${path}`, async (t) => {
      const { store, push, ask, failing } = await aShop(t);
      const ids = {
        message: String((await push({ target: { device: 'phone-1' }, text: 'a' })).body['id']),
        letter: (await aDeadLetter(store, 'phone-1')).id,
        action: await actionOf(ask),
      };
      const bodies = Object.values(operation.requestBody?.content['application/json'].examples ?? { none: null });
      for (const example of bodies) {
        if (example !== null) assertSchema(`${pointerTo(path, method)}/requestBody`, example.value);
        const [good, bad] = [urlOf(path, operation, ids), urlOf(path, operation, null)];
        const init = requestOf(method, example?.value ?? null, ids.letter);
        const answer = await ask(good, init);
        assert.ok(answer.status < 300, `${answer.status}: ${JSON.stringify(answer.body)}`);
        assertAnswer(path, method, answer);
        assertAnswer(path, method, await ask(bad, init));
        assertAnswer(path, method, await ask(good, { ...init, headers: { ...init.headers, authorization: '' } }));
        assertAnswer(path, method, await ask(`${good}?nobodyknows=1`, init));
        for (const name of OPERATIONS_OF_THE_STORE) failing.set(name, 'before');
        const down = await ask(good, init);
        assert.equal(down.status, 503, JSON.stringify(down.body));
        assertAnswer(path, method, down);
        failing.clear();
      }
    });
  }
});

const OPERATIONS_OF_THE_STORE: readonly (keyof Store)[] = [
  'messages',
  'device',
  'accountDevices',
  'topicSubscribers',
  'deadLetters',
  'deadLetter',
  'countDeadLetters',
  'changeGroup',
  'groupMembers',
  'ledger',
];

/** An action over all letters that there is. */
async function actionOf(ask: (path: string, init?: RequestInit) => Promise<AnsweredPush>): Promise<string> {
  const { body } = await ask(
    '/v1/dead-letters/actions',
    requestOf('post', { action: 'hold', all: true, ratePerSecond: 1 }, ''),
  );
  return String(body['id']);
}

/** The path with its examples, real ids in place of those of the document; null: names that nothing has. */
function urlOf(
  path: string,
  { parameters = [] }: Operation,
  ids: { message: string; letter: string; action: string } | null,
): string {
  return path.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
    if (ids === null) return name === 'id' ? EXAMPLE_ID : 'nothing%20has%20it';
    if (name === 'id') {
      if (path.startsWith('/v1/messages')) return ids.message;
      return path.includes('actions') ? ids.action : encodeURIComponent(ids.letter);
    }
    return encodeURIComponent(parameters.find((parameter) => parameter.name === name)!.example!);
  });
}

function requestOf(method: string, body: Node | null, letter: string) {
  const headers: Record<string, string> = { 'content-type': 'application/json' };
  const ids = body !== null && 'ids' in body ? { ids: [letter] } : {};
  return {
    method: method.toUpperCase(),
    headers,
    ...(body === null ? {} : { body: JSON.stringify({ ...body, ...ids }) }),
  };
}

test('refusals of a message are answered as the document says', async (t) => {
  const { push, failing } = await aShop(t);
  const answers = [
    await push({ target: { device: 'nobody' }, text: 'a' }),
    await push({ target: { group: 'nobody' }, text: 'a' }),
    await push({ target: {}, text: 'a' }),
    await push({ target: { topic: 'secret' }, text: 'a' }),
    await push({ target: { topic: 'news' }, text: 'x'.repeat(40_000) }),
    await push('{', {}),
    await push({ target: { topic: 'news' }, text: 'a' }, { authorization: 'Bearer x' }),
  ];
  failing.set('append', 'before');
  answers.push(await push({ target: { topic: 'news' }, text: 'a' }));
  for (const answer of answers) {
    assert.notEqual(answer.status, 202);
    assertAnswer('/v1/messages', 'post', answer);
  }
});

test('the document has every route, and no other', () => {
  const routes = API_ROUTES.map(([method, path]) => `${method} ${path}`);
  const documented = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  const others = ['POST /v1/messages', 'GET /v1/openapi.json', 'GET /v1/keys'];
  assert.deepEqual(documented.toSorted(), [...routes, ...others].toSorted());
});

test('the document is served without a credential, and each of its references leads somewhere', async (t) => {
  const { store } = await aStore(t);
  const { url } = await aRouter(t, { store });
  const served = (await (await fetch(`${url}/v1/openapi.json`)).json()) as object;
  assert.deepEqual(served, JSON.parse(JSON.stringify(openApiDocument)));
  const references = JSON.stringify(served).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g);
  const known = Object.keys(openApiDocument.components.schemas);
  for (const [, name = ''] of references) assert.ok(known.includes(name), name);
});
