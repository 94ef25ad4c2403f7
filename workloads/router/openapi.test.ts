import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Ajv } from 'ajv';
import { aDevice, aRouter, aStore } from './fixtures.ts';
import { openApiDocument } from './openapi.ts';

type Node = Readonly<Record<string, unknown>>;

/** Checks values against schemas of the document. */
const ajv = new Ajv({ strict: false, allErrors: true });
ajv.addSchema({ $id: 'doc', ...openApiDocument });

/** What the document says of an answer: the schema of its status. */
function pointerOf(path: string, method: string, status: number): string {
  const escaped = path.replaceAll('~', '~0').replaceAll('/', '~1');
  return `doc#/paths/${encodeURIComponent(escaped)}/${method}/responses/${status}/content/application~1json/schema`;
}
function assertAnswer(path: string, method: string, answer: { status: number; body: unknown }): void {
  const { responses } = (openApiDocument.paths as unknown as Record<string, Record<string, { responses: Node }>>)[
    path
  ]![method]!;
  assert.ok(String(answer.status) in responses, `${answer.status} is not documented: ${JSON.stringify(answer.body)}`);
  const check = ajv.compile({ $ref: pointerOf(path, method, answer.status) });
  assert.ok(check(answer.body), JSON.stringify([answer.body, check.errors]));
}

describe('every example of the document is answered as the document says', () => {
  const { examples } = openApiDocument.paths['/v1/messages'].post.requestBody.content['application/json'];
  for (const [name, { summary, value }] of Object.entries(examples))
    test(`${name}: ${summary}`, async (t) => {
      const { store } = await aStore(t);
      await aDevice(store, 'phone-1');
      const { push } = await aRouter(t, { store });
      const answer = await push(value);
      assert.equal(answer.status, name === 'batch' ? 207 : 202);
      assertAnswer('/v1/messages', 'post', answer);
      const check = ajv.compile({
        $ref: 'doc#/paths/~1v1~1messages/post/requestBody/content/application~1json/schema',
      });
      assert.ok(check(value), JSON.stringify(check.errors));
    });

  for (const path of ['/v1/devices/{device}', '/v1/accounts/{account}/devices'] as const)
    test(path, async (t) => {
      const { store } = await aStore(t);
      await aDevice(store, 'phone-1');
      const { ask } = await aRouter(t, { store });
      const [{ example }] = openApiDocument.paths[path].get['parameters'] as [{ example: string }];
      assertAnswer(path, 'get', await ask(path.replace(/\{\w+\}/, example)));
      assertAnswer(path, 'get', await ask(path.replace(/\{\w+\}/, 'a%20b')));
      assertAnswer(path, 'get', await ask(path.replace(/\{\w+\}/, example), { headers: { authorization: '' } }));
    });
});

test('refusals are answered as the document says', async (t) => {
  const { store, failing } = await aStore(t);
  const { push } = await aRouter(t, { store });
  const answers = [
    await push({ target: { device: 'nobody' }, text: 'a' }),
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

test('the document is served without a credential, and each of its references leads somewhere', async (t) => {
  const { store } = await aStore(t);
  const { url } = await aRouter(t, { store });
  const served = (await (await fetch(`${url}/v1/openapi.json`)).json()) as object;
  assert.deepEqual(served, JSON.parse(JSON.stringify(openApiDocument)));
  const references = JSON.stringify(served).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g);
  const known = Object.keys(openApiDocument.components.schemas);
  for (const [, name = ''] of references) assert.ok(known.includes(name), name);
});
