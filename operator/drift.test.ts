import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { describeDrift, sealed } from './drift.ts';
import { contentHash } from './hash.ts';
import type { KubeObject } from './kube/port.ts';

const manifest = (spec: unknown): KubeObject =>
  sealed({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'a' }, spec });
const live = (desired: KubeObject, spec: unknown): KubeObject => ({ ...desired, spec });

describe('describeDrift', () => {
  const cases: readonly (readonly [string, unknown, unknown, string | null])[] = [
    [
      'what the server added does not count',
      { replicas: 2 },
      { replicas: 2, strategy: { type: 'RollingUpdate' } },
      null,
    ],
    ['a changed field does', { replicas: 2 }, { replicas: 3 }, 'spec.replicas'],
    ['a removed field does', { replicas: 2 }, {}, 'spec.replicas'],
    [
      'nor does the order of keyed lists',
      { containers: [{ name: 'a' }, { name: 'b' }] },
      { containers: [{ name: 'b' }, { name: 'a' }] },
      null,
    ],
    [
      'nor one more in a keyed list',
      { env: [{ name: 'A', value: '1' }] },
      { env: [{ name: 'X' }, { name: 'A', value: '1' }] },
      null,
    ],
    ['an item missing in a keyed list does', { env: [{ name: 'A', value: '1' }] }, { env: [] }, 'spec.env[["A"]]'],
    ['one more in another list does', { args: ['a'] }, { args: ['a', 'b'] }, 'spec.args'],
    [
      'quantities are compared by amount',
      { resources: { limits: { cpu: '1000m', memory: '0.5Gi' } } },
      { resources: { limits: { cpu: '1', memory: '512Mi' } } },
      null,
    ],
    [
      'and differ by amount',
      { resources: { requests: { cpu: '100m' } } },
      { resources: { requests: { cpu: '1' } } },
      'spec.resources.requests.cpu',
    ],
    ['other texts are not quantities', { value: '1000m' }, { value: '1' }, 'spec.value'],
    ['empty objects are nothing', { resources: {}, list: [] }, {}, null],
  ];
  for (const [what, desired, is, path] of cases) {
    it(what, () => {
      const wanted = manifest(desired);
      assert.equal(describeDrift(live(wanted, is), wanted), path);
    });
  }

  it('tells what is missing', () => assert.equal(describeDrift(undefined, manifest({})), 'missing'));
  it('tells a field that was given up by the hash of what was applied', () => {
    const before = manifest({ a: 1, b: 2 });
    assert.equal(describeDrift(before, manifest({ a: 1 })), 'metadata.annotations.pushcluster.io/applied-hash');
  });
});

describe('contentHash', () => {
  it('is the same whatever the order of keys, and differs with any value', () => {
    assert.equal(contentHash({ a: 1, b: [1, { c: 2, d: 3 }] }), contentHash({ b: [1, { d: 3, c: 2 }], a: 1 }));
    assert.notEqual(contentHash({ a: 1 }), contentHash({ a: 2 }));
    assert.notEqual(contentHash([1, 2]), contentHash([2, 1]));
    assert.equal(contentHash({ a: undefined }), contentHash({}));
  });
  it('does not repeat over 100,000 neighbours', () => {
    const seen = new Set(Array.from({ length: 100_000 }, (_, i) => contentHash({ replicas: i })));
    assert.equal(seen.size, 100_000);
  });
});
