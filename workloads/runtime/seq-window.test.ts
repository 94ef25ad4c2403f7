import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seeded } from '../link/fixtures.ts';
import { SeqWindow } from './seq-window.ts';

const all = <T>(window: SeqWindow<T>): unknown[] => [...window];

test('what was put is taken once, in any order, and walked in the order of its numbers', () => {
  const window = new SeqWindow<string>();
  for (const seq of [1, 2, 5]) window.put(seq, `n${seq}`);
  assert.deepEqual(all(window), [
    [1, 'n1'],
    [2, 'n2'],
    [5, 'n5'],
  ]);
  assert.deepEqual(
    [window.take(2), window.take(2), window.take(3), window.take(9)],
    ['n2', undefined, undefined, undefined],
  );
  assert.deepEqual([window.size, window.oldest()], [2, 'n1']);
  assert.equal(window.take(1), 'n1');
  assert.equal(window.oldest(), 'n5');
  assert.equal(window.take(5), 'n5');
  assert.deepEqual([window.size, window.oldest(), all(window)], [0, undefined, []]);
});

test('numbers only grow', () => {
  const window = new SeqWindow<string>();
  window.put(3, 'a');
  window.take(3);
  assert.throws(() => window.put(3, 'b'), RangeError);
});

test('taking while walking', () => {
  const window = new SeqWindow<number>();
  for (let seq = 1; seq <= 100; seq++) window.put(seq, seq);
  const met: number[] = [];
  for (const [seq] of window) {
    met.push(seq);
    window.take(seq);
    window.take(seq + 1);
  }
  assert.deepEqual([met.length, met.at(-1), window.size], [50, 99, 0]);
});

test('a random walk agrees with a Map, however far apart the oldest and the newest are', () => {
  const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
  const random = seeded(seed);
  const window = new SeqWindow<number>();
  const map = new Map<number, number>();
  let seq = 0;
  for (let step = 0; step < 50_000; step++) {
    if (random() < 0.5) {
      seq += random() < 0.01 ? Math.floor(random() * 10_000) : 1;
      window.put(seq, step);
      map.set(seq, step);
    } else {
      const keys = [...map.keys()].slice(0, 4);
      const at = random() < 0.9 ? (keys[Math.floor(random() * keys.length)] ?? 0) : Math.floor(random() * (seq + 2));
      assert.equal(window.take(at), map.get(at), `seed ${seed} step ${step}`);
      map.delete(at);
    }
    assert.equal(window.size, map.size);
    assert.equal(window.oldest(), map.values().next().value, `seed ${seed} step ${step}`);
  }
  assert.deepEqual(all(window), [...map], `seed ${seed}`);
});
