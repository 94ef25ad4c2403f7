import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { aManualClock } from '../workloads/runtime/clock.ts';
import { silentLog } from '../workloads/runtime/log.ts';
import { openMemoryKube } from './kube/memory.ts';
import { KINDS, KubeError } from './kube/port.ts';
import type { Kube, KubeObject, Watch } from './kube/port.ts';
import { RESTART_MAX_MS, superviseWatch } from './watch.ts';

const object = (name: string, label = 'yes'): KubeObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace: 'n', labels: { ours: label } },
});

function aWatch(wrap: (kube: Kube) => Kube = (kube) => kube) {
  const clock = aManualClock();
  const memory = openMemoryKube({ clock });
  const seen: string[] = [];
  const watch = superviseWatch({
    kube: wrap(memory),
    kind: KINDS.configMap,
    selection: { labels: { ours: 'yes' } },
    clock,
    log: silentLog,
    random: () => 1,
    onObject: (found) => seen.push(found.metadata.name),
  });
  const pass = async (ms: number): Promise<void> => {
    for (let gone = 0; gone <= ms; gone += 250) {
      for (let i = 0; i < 3; i++) await turn();
      clock.advance(Math.min(250, ms - gone));
    }
    for (let i = 0; i < 3; i++) await turn();
  };
  return { clock, memory, seen, watch, pass };
}

describe('superviseWatch', () => {
  it('tells what is there, then what changes, of its own label only', async () => {
    const { memory, seen, watch, pass } = aWatch();
    await memory.create(object('a'));
    await watch.synced;
    await memory.create(object('b'));
    await memory.create(object('c', 'no'));
    await pass(0);
    assert.deepEqual([...new Set(seen)], ['a', 'b']);
    await watch.stop();
  });

  it('goes on after a cut, with what changed meanwhile, and not with what it had', async () => {
    const { memory, seen, watch, pass } = aWatch();
    await memory.create(object('a'));
    await watch.synced;
    await pass(0);
    memory.cutWatches();
    await memory.create(object('b'));
    await pass(2000);
    assert.deepEqual(seen.slice(seen.indexOf('b')), ['b']);
    await watch.stop();
  });

  it('lists again when its version is too old', async () => {
    let ends = 0;
    const expired: Watch = { ended: Promise.resolve({ why: 'expired', detail: 'too old' }), stop: () => {} };
    const { seen, memory, watch, pass } = aWatch((kube) => ({
      ...bound(kube),
      watch: (...given) => (ends++ === 0 ? expired : kube.watch(...given)),
    }));
    await memory.create(object('a'));
    await pass(3000);
    assert.deepEqual(seen, ['a', 'a'].slice(0, seen.length));
    assert.equal(ends, 2);
    await watch.stop();
  });

  it('waits longer with each failure, at most half a minute, and never gives up', async () => {
    const atMs: number[] = [];
    const { clock, watch, pass } = aWatch((kube) => ({
      ...bound(kube),
      list: () => {
        atMs.push(clock?.nowMs() ?? 0);
        return Promise.reject(new KubeError(503, 'Unavailable', 'no'));
      },
    }));
    await pass(300_000);
    const gaps = atMs.slice(2).map((ms, i) => ms - atMs[i + 1]!);
    assert.ok(gaps.length > 8);
    assert.ok(gaps.every((gap) => gap <= RESTART_MAX_MS + 250));
    assert.ok(gaps.at(-1)! > gaps[0]!);
    await watch.stop();
  });

  it('survives a handler that throws', async () => {
    const clock = aManualClock();
    const memory = openMemoryKube({ clock });
    let thrown = 0;
    const watch = superviseWatch({
      kube: memory,
      kind: KINDS.configMap,
      selection: {},
      clock,
      log: silentLog,
      random: () => 0,
      onObject: () => {
        thrown += 1;
        if (thrown === 1) throw new Error('handler broke');
      },
    });
    await watch.synced;
    await memory.create(object('a'));
    for (let i = 0; i < 20; i++) {
      await turn();
      clock.advance(500);
    }
    assert.ok(thrown >= 1);
    await memory.create(object('b'));
    for (let i = 0; i < 20; i++) {
      await turn();
      clock.advance(500);
    }
    assert.ok(thrown >= 2);
    await watch.stop();
  });

  it('stops while it waits, and leaves no timer', async () => {
    const { clock, watch, pass } = aWatch((kube) => ({ ...bound(kube), list: () => Promise.reject(new Error('no')) }));
    await pass(0);
    await watch.stop();
    assert.equal(clock.pending(), 0);
  });
});

/** The methods of a class instance as a plain object. */
function bound(kube: Kube): Kube {
  return {
    get: (...a) => kube.get(...a),
    list: (...a) => kube.list(...a),
    watch: (...a) => kube.watch(...a),
    create: (...a) => kube.create(...a),
    replace: (...a) => kube.replace(...a),
    apply: (...a) => kube.apply(...a),
    applyStatus: (...a) => kube.applyStatus(...a),
    merge: (...a) => kube.merge(...a),
    scale: (...a) => kube.scale(...a),
    delete: (...a) => kube.delete(...a),
  };
}
