import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { aManualClock } from '../workloads/runtime/clock.ts';
import { silentLog } from '../workloads/runtime/log.ts';
import { openEvents } from './events.ts';
import { aPushCluster } from './fixtures.ts';
import { openMemoryKube } from './kube/memory.ts';
import { KINDS, KubeError } from './kube/port.ts';
import type { Note } from './types.ts';

const note = (message: string): Note => ({ type: 'Normal', reason: 'Tested', message });

function aRecorder() {
  const clock = aManualClock();
  const kube = openMemoryKube({ clock });
  const list = async (): Promise<readonly (readonly [unknown, unknown])[]> =>
    (await kube.list(KINDS.event, {})).items.map((event) => [event['message'], event['count']]);
  return { clock, kube, list, events: openEvents({ kube, clock, log: silentLog }) };
}

describe('events', () => {
  it('are hung on the object that they are about', async () => {
    const { kube, events } = aRecorder();
    await events.record(aPushCluster(), note('hello'));
    const [event] = (await kube.list(KINDS.event, { namespace: 'push' })).items;
    assert.deepEqual(event?.['involvedObject'], {
      apiVersion: 'pushcluster.io/v1alpha1',
      kind: 'PushCluster',
      name: 'demo',
      namespace: 'push',
      uid: 'uid-demo',
    });
  });

  it('are written once a minute when they repeat, with a higher count', async () => {
    const { clock, events, list } = aRecorder();
    for (let i = 0; i < 5; i++) await events.record(aPushCluster(), note('same'));
    assert.deepEqual(await list(), [['same', 1]]);
    clock.advance(60_000);
    await events.record(aPushCluster(), note('same'));
    assert.deepEqual(await list(), [['same', 2]]);
  });

  it('are at most 30 at once for one object, and one more every 5 s', async () => {
    const { clock, events, list } = aRecorder();
    for (let i = 0; i < 50; i++) await events.record(aPushCluster(), note(`n${i}`));
    assert.equal((await list()).length, 30);
    clock.advance(5000);
    for (let i = 0; i < 5; i++) await events.record(aPushCluster(), note(`later ${i}`));
    assert.equal((await list()).length, 31);
    await events.record(aPushCluster({}, { uid: 'another' }), note('of another object'));
    assert.equal((await list()).length, 32);
  });

  it('that cannot be written are no reason to fail', async () => {
    const { clock, kube } = aRecorder();
    const broken = new Proxy(kube, {
      get: (target, name) =>
        name === 'create' ? () => Promise.reject(new KubeError(403, 'Forbidden', 'no')) : Reflect.get(target, name),
    });
    await openEvents({ kube: broken, clock, log: silentLog }).record(aPushCluster(), note('lost'));
  });
});
