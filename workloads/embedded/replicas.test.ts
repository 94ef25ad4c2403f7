import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planDeployment, planStatefulSet } from './replicas.ts';
import type { PodRow } from './replicas.ts';

const aPod = (name: string, more: Partial<PodRow> = {}): PodRow => ({
  name,
  revision: 'r1',
  ready: true,
  ending: false,
  ...more,
});

test('a StatefulSet creates each missing ordinal', () => {
  const plan = planStatefulSet({ name: 'gw', replicas: 3 }, [aPod('gw-1')]);
  assert.deepEqual(plan, {
    create: [
      { name: 'gw-0', ordinal: 0 },
      { name: 'gw-2', ordinal: 2 },
    ],
    remove: [],
  });
});

test('a StatefulSet removes the highest ordinal first, one at a time', () => {
  const pods = [aPod('gw-0'), aPod('gw-1'), aPod('gw-2')];
  assert.deepEqual(planStatefulSet({ name: 'gw', replicas: 1 }, pods).remove, ['gw-2']);
  assert.deepEqual(
    planStatefulSet({ name: 'gw', replicas: 1 }, [pods[0]!, pods[1]!, aPod('gw-2', { ending: true })]).remove,
    [],
  );
});

test('a StatefulSet leaves pods of an older revision alone (OnDelete)', () => {
  assert.deepEqual(planStatefulSet({ name: 'gw', replicas: 1 }, [aPod('gw-0', { revision: 'old' })]), {
    create: [],
    remove: [],
  });
});

test('a Deployment keeps old pods until new ones are ready', () => {
  const set = { name: 'reg', replicas: 1, revision: 'r2', nextOrdinal: 4 };
  const old = aPod('reg-r1-3');
  assert.deepEqual(planDeployment(set, [old]), { create: [{ name: 'reg-r2-4', ordinal: 4 }], remove: [] });
  assert.deepEqual(planDeployment(set, [old, aPod('reg-r2-4', { revision: 'r2', ready: false })]).remove, []);
  assert.deepEqual(planDeployment(set, [old, aPod('reg-r2-4', { revision: 'r2' })]).remove, ['reg-r1-3']);
});
