import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { InvalidDocumentError, STRATEGIES, parseRoutingDocument } from './routing.ts';

const gateway = {
  name: 'gateway-0',
  addresses: { ws: 'ws://127.0.0.1:8080/' },
  weight: 100,
  state: 'active',
  capacity: 18_000,
  since: '2026-01-01T00:00:00Z',
};
const document = { version: 1, revision: 'r1', cluster: 'demo', strategy: 'round-robin', gateways: [gateway] };

describe('a routing document', () => {
  for (const strategy of STRATEGIES)
    test(`is read as it was written, with ${strategy}`, () => {
      const whole = { ...document, strategy };
      assert.deepEqual(parseRoutingDocument(JSON.stringify({ ...whole, later: true })), whole);
    });

  const bad: readonly [value: unknown, field: string][] = [
    ['no object', 'routing document'],
    [{ ...document, version: 2 }, 'version'],
    [{ ...document, strategy: 'random' }, 'strategy'],
    [{ ...document, revision: '' }, 'revision'],
    [{ ...document, cluster: 1 }, 'cluster'],
    [{ ...document, gateways: {} }, 'gateways'],
    [{ ...document, gateways: [{ ...gateway, name: null }] }, 'gateways[0].name'],
    [{ ...document, gateways: [{ ...gateway, addresses: {} }] }, 'gateways[0].addresses.ws'],
    [{ ...document, gateways: [{ ...gateway, weight: -1 }] }, 'gateways[0].weight'],
    [{ ...document, gateways: [gateway, { ...gateway, state: 'gone' }] }, 'gateways[1].state'],
    [{ ...document, gateways: [{ ...gateway, capacity: '9' }] }, 'gateways[0].capacity'],
  ];
  for (const [value, field] of bad)
    test(`is refused whole, naming ${field}`, () => {
      assert.throws(
        () => parseRoutingDocument(JSON.stringify(value)),
        (error) => error instanceof InvalidDocumentError && error.message.startsWith(`${field}: expected`),
      );
    });
  test('is refused when it is not JSON', () => assert.throws(() => parseRoutingDocument('{'), InvalidDocumentError));
});
