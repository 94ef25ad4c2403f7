import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { aGatewayState, aRouting, aRow } from './fixtures.ts';
import { openGatewayAdmin, parseGatewayState } from './gateway-admin.ts';
import { openPrometheus, parseAnswer } from './prometheus.ts';

describe('the gateway admin client', () => {
  const seen: string[] = [];
  let answer = { status: 200, body: JSON.stringify(aGatewayState()), isSilent: false };
  let server: Server;
  let address = '';

  before(async () => {
    server = createServer((request, response) => {
      let body = '';
      request.on('data', (part: Buffer) => (body += part.toString()));
      request.on('end', () => {
        seen.push(`${request.method} ${request.url} ${request.headers.authorization} ${body.slice(0, 30)}`);
        if (!answer.isSilent) response.writeHead(answer.status).end(answer.body);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const at = server.address();
    address = `http://127.0.0.1:${typeof at === 'object' && at !== null ? at.port : 0}`;
  });
  after(() => {
    server.closeAllConnections();
    server.close();
  });

  it('shows the admin key on every call, and asks as the protocol has it', async () => {
    const admin = openGatewayAdmin({ timeoutMs: 2000 });
    const peer = { address, bearer: 'secret' };
    assert.equal((await admin.state(peer)).state, 'active');
    await admin.drain(peer, { generation: 'g', reason: 'drain', rate: 5, deadlineMs: 1, targets: [] });
    await admin.undrain(peer);
    await admin.putRouting(peer, aRouting([aRow(0)]));
    assert.deepEqual(
      seen.map((line) => line.split(' ').slice(0, 4).join(' ')),
      [
        'GET /v1/state Bearer secret',
        'PUT /v1/drain Bearer secret',
        'DELETE /v1/drain Bearer secret',
        'PUT /v1/routing Bearer secret',
      ],
    );
  });

  it('rejects when the gateway refuses, does not answer in time, or is not there', async () => {
    const admin = openGatewayAdmin({ timeoutMs: 100 });
    const peer = { address, bearer: 'secret' };
    answer = { ...answer, status: 401 };
    await assert.rejects(admin.state(peer), { code: 'gateway-admin', status: 401 });
    answer = { ...answer, status: 200, isSilent: true };
    await assert.rejects(admin.state(peer), { code: 'gateway-admin', status: 0 });
    await assert.rejects(admin.state({ address: 'http://127.0.0.1:1', bearer: '' }), {
      code: 'gateway-admin',
      status: 0,
    });
  });

  for (const text of [
    '',
    '[]',
    '{}',
    '{"state":"dancing"}',
    JSON.stringify({ ...aGatewayState(), sessions: -1 }),
    JSON.stringify({ ...aGatewayState(), unacked: null }),
  ])
    it(`takes ${text.slice(0, 40)} for no answer, never for zero`, () =>
      assert.throws(() => parseGatewayState(text), { code: 'gateway-admin' }));
});

describe('Prometheus', () => {
  it('answers connections by pod', () => {
    const result = [
      { metric: { pod: 'demo-gateway-0' }, value: [1, '17'] },
      { metric: {}, value: [1, '3'] },
    ];
    const counts = parseAnswer({ status: 'success', data: { result } });
    assert.deepEqual([...(counts.connections ?? [])], [['demo-gateway-0', 17]]);
  });
  for (const body of [null, {}, { status: 'error' }, { status: 'success', data: {} }])
    it(`${JSON.stringify(body)} is no answer`, () => assert.equal(parseAnswer(body).connections, null));
  it('that is not there answers nothing, and why', async () => {
    const read = openPrometheus({ timeoutMs: 500 });
    const counts = await read('http://127.0.0.1:1', { name: 'demo', namespace: 'push' });
    assert.equal(counts.connections, null);
    assert.match(counts.detail, /no answer/);
  });
});
