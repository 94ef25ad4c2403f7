// Lives of a Redis node: when a restart goes on with the same epochs, and what is warned of.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isSupported, lifeOf, parseFacts, warningsOf } from './life.ts';
import type { NodeFacts } from './life.ts';

const SAFE = {
  appendonly: 'yes',
  appendfsync: 'always',
  'maxmemory-policy': 'noeviction',
  'no-appendfsync-on-rewrite': 'no',
};
function someFacts(more: Partial<NodeFacts> = {}): NodeFacts {
  return {
    version: '7.0.15',
    runId: 'run-1',
    role: 'master',
    replicationId: 'rep-1',
    promotedFrom: null,
    config: SAFE,
    replicas: 0,
    ...more,
  };
}
const store = { id: 'data-1', node: 'a:1' };

test('facts come from INFO', () => {
  const info = `# Server\r\nredis_version:7.0.15\r\nrun_id:abc\r\n# Replication\r\nrole:master\r\nconnected_slaves:1\r\nmaster_replid:r1\r\nmaster_replid2:${'0'.repeat(40)}\r\n`;
  assert.deepEqual(parseFacts(info, null), {
    version: '7.0.15',
    runId: 'abc',
    role: 'master',
    replicationId: 'r1',
    promotedFrom: null,
    config: null,
    replicas: 1,
  });
  assert.equal(parseFacts(info.replace('0'.repeat(40), 'f00'), null).promotedFrom, 'f00');
});

const same: readonly [string, Partial<NodeFacts>, boolean][] = [
  ['a restart with every write on the disk is the same life', { runId: 'run-2', replicationId: 'rep-2' }, true],
  ['a restart with appendfsync everysec is another', { config: { ...SAFE, appendfsync: 'everysec' } }, false],
  ['without appendonly another', { config: { ...SAFE, appendonly: 'no' } }, false],
  ['with fsync paused in rewrites another', { config: { ...SAFE, 'no-appendfsync-on-rewrite': 'yes' } }, false],
  ['with unknown configuration another', { config: null }, false],
];
for (const [title, more, expected] of same) {
  test(title, () => {
    const before = lifeOf(someFacts(expected ? {} : more), store);
    const after = lifeOf(someFacts({ runId: 'run-2', replicationId: 'rep-2', ...more }), store);
    assert.equal(before === after, expected);
    assert.equal(before.length, 8);
  });
}

test('other data, another node and a promotion without a restart are other lives', () => {
  assert.notEqual(lifeOf(someFacts(), store), lifeOf(someFacts(), { ...store, id: 'data-2' }));
  assert.notEqual(lifeOf(someFacts(), store), lifeOf(someFacts(), { ...store, node: 'b:1' }));
  const weak = { config: { ...SAFE, appendonly: 'no' } };
  assert.notEqual(lifeOf(someFacts(weak), store), lifeOf(someFacts({ ...weak, replicationId: 'rep-2' }), store));
});

test('warnings name the setting, what it is and what was expected', () => {
  assert.deepEqual(warningsOf(someFacts(), 'a:1'), []);
  const weak = { ...SAFE, appendfsync: 'everysec', 'maxmemory-policy': 'allkeys-lru' };
  const warnings = warningsOf(someFacts({ config: weak }), 'a:1');
  assert.match(warnings[0]!, /a:1: maxmemory-policy is allkeys-lru; expected noeviction/);
  assert.match(warnings[1]!, /appendfsync is everysec; expected always/);
  assert.match(warningsOf(someFacts({ config: null }), 'a:1')[0]!, /CONFIG GET is not allowed/);
});

test('Redis 7 is the oldest that is supported', () => {
  assert.deepEqual(
    ['6.2.9', '7.0.0', '8.1.2', ''].map((version) => isSupported(someFacts({ version }))),
    [false, true, true, false],
  );
});
