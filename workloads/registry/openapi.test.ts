import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { ERRORS } from '../protocol/codes.ts';
import type { HttpRoute } from '../runtime/http.ts';
import { registryRoutes } from './api.ts';
import { aRegistry } from './fixtures.ts';
import type { TestRegistry } from './fixtures.ts';
import openapi from './openapi.json' with { type: 'json' };
import { renderOpenapi } from './render-openapi.ts';

interface Operation {
  readonly requestBody?: {
    readonly content: { readonly 'application/json': { readonly examples: Record<string, { value: object }> } };
  };
  readonly responses: Record<string, object>;
}
const operations = Object.entries(openapi.paths).flatMap(([path, methods]) =>
  Object.entries(methods as Record<string, Operation>).map(([method, operation]) => ({
    path,
    method: method.toUpperCase(),
    operation,
  })),
);
const ajv = new Ajv2020({ strict: false, validateFormats: false });
ajv.addSchema(openapi, 'api');

function assertSchema(name: string, value: unknown): void {
  const check = ajv.compile({ $ref: `api#/components/schemas/${name}` });
  assert.ok(check(value), `${JSON.stringify(value)}: ${ajv.errorsText(check.errors)}`);
}

const running: TestRegistry[] = [];
after(() => running.forEach((registry) => registry.role.kill()));
async function started(...over: Parameters<typeof aRegistry>): Promise<TestRegistry> {
  const registry = await aRegistry(...over);
  running.push(registry);
  return registry;
}

test('openapi.json is openapi.yaml: run `node workloads/registry/render-openapi.ts` after changing it', () => {
  assert.equal(readFileSync(join(import.meta.dirname, 'openapi.json'), 'utf8'), renderOpenapi());
});

test('every route is in the document and the other way round', () => {
  const routes = registryRoutes({} as never, {} as never).map((route: HttpRoute) => `${route.method} ${route.path}`);
  assert.deepEqual(new Set(operations.map(({ method, path }) => `${method} ${path}`)), new Set(routes));
});

test('every status that an error of the document has is one of protocol/codes.ts', () => {
  const known = new Set<string>(Object.values(ERRORS).map((row) => String(row.status)));
  const named = operations.flatMap(({ operation }) => Object.keys(operation.responses)).filter((s) => s !== '200');
  assert.deepEqual(
    named.filter((status) => !known.has(status)),
    [],
  );
});

describe('each example of the document is answered as it says', () => {
  for (const { path, method, operation } of operations)
    for (const [name, { value }] of Object.entries(operation.requestBody?.content['application/json'].examples ?? {}))
      test(`${method} ${path}: ${name}`, async () => {
        const { send, signer, token } = await started();
        const text = JSON.stringify(value).replace('<JWT signed by the app>', await signer.sign());
        const bearer = path === '/v1/register' ? null : await token();
        const answer = await send(method, path, { text, bearer });
        assert.equal(answer.status, 200, JSON.stringify(answer.body));
        assertSchema('Assignment', answer.body);
        assert.equal(answer.headers.get('cache-control'), 'no-store');
      });

  test('DELETE /v1/device', async () => {
    const { send, token } = await started();
    const answer = await send('DELETE', '/v1/device', { bearer: await token() });
    assertSchema('ClosedDevice', answer.body);
    const { examples } = openapi.paths['/v1/device'].delete.responses['200'].content['application/json'];
    assert.deepEqual(answer.body, examples.closed.value);
  });

  test('GET /v1/openapi.json is the document itself', async () => {
    const { send } = await started();
    const answer = await send('GET', '/v1/openapi.json', {});
    assert.deepEqual(answer.body, openapi);
  });
});

describe('each refusal has the form and a status that the document names', () => {
  const good = { app: 'shop', account: 'ada', device: 'phone-1' };
  const cases: readonly {
    title: string;
    at: string;
    send: { text?: string; bearer?: string };
    status: number;
    code: string;
    prepare?: (registry: TestRegistry) => void;
  }[] = [
    { title: 'no JSON', at: 'POST /v1/register', send: { text: '{' }, status: 400, code: 'invalid-request' },
    {
      title: 'no credential',
      at: 'POST /v1/register',
      send: { text: JSON.stringify(good) },
      status: 401,
      code: 'unauthenticated',
    },
    {
      title: 'an app that is not there',
      at: 'POST /v1/register',
      send: { text: JSON.stringify({ ...good, app: 'bank' }) },
      status: 404,
      code: 'app-unknown',
    },
    {
      title: '16 KiB',
      at: 'POST /v1/register',
      send: { text: ' '.repeat(16 * 1024) },
      status: 400,
      code: 'invalid-request',
    },
    {
      title: 'a byte more',
      at: 'POST /v1/register',
      send: { text: ' '.repeat(16 * 1024 + 1) },
      status: 413,
      code: 'too-large',
    },
    { title: 'no token', at: 'POST /v1/renew', send: {}, status: 401, code: 'unauthenticated' },
    { title: 'a forged token', at: 'POST /v1/assign', send: { bearer: 'a.b.c' }, status: 401, code: 'unauthenticated' },
    { title: 'no token', at: 'DELETE /v1/device', send: {}, status: 401, code: 'unauthenticated' },
  ];
  for (const { title, at, send, status, code } of cases)
    test(`${at} with ${title}: ${status} ${code}`, async () => {
      const registry = await started();
      const [method, path] = at.split(' ') as [string, string];
      const answer = await registry.send(method, path, send);
      assert.deepEqual([answer.status, (answer.body as { error: { code: string } }).error.code], [status, code]);
      assertSchema('Error', answer.body);
      const { operation } = operations.find((o) => o.method === method && o.path === path)!;
      assert.ok(String(status) in operation.responses, `${status} is not in the document`);
    });

  test('503 tells when to come back, in the body and as a header in whole seconds', async () => {
    const { send, signer } = await started({ gateways: {} });
    const text = JSON.stringify({ ...good, credential: { token: await signer.sign() } });
    const answer = await send('POST', '/v1/register', { text });
    assert.equal(answer.status, 503);
    assertSchema('Error', answer.body);
    const { error } = answer.body as { error: { code: string; retryAfterMs: number } };
    assert.deepEqual([error.code, error.retryAfterMs, answer.headers.get('retry-after')], ['no-gateway', 1000, '1']);
  });
});
