import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { TimeWheel, WheelEntry } from './wheel.ts';

class Alarm extends WheelEntry {
  readonly name: string;
  readonly rang: string[];
  onDue: (nowMs: number) => void = () => {};
  constructor(name: string, rang: string[]) {
    super();
    this.name = name;
    this.rang = rang;
  }
  due(nowMs: number): void {
    this.rang.push(`${this.name}@${nowMs}`);
    this.onDue(nowMs);
  }
}
const aWheel = (): { wheel: TimeWheel; rang: string[]; alarm: (name: string) => Alarm } => {
  const rang: string[] = [];
  const wheel = new TimeWheel({ tickMs: 10, slots: 8, nowMs: 1000 });
  return { wheel, rang, alarm: (name) => new Alarm(name, rang) };
};

describe('a time wheel', () => {
  test('runs an entry at the first tick at or after its time, never before, and once', () => {
    const { wheel, rang, alarm } = aWheel();
    wheel.schedule(alarm('a'), 1015);
    for (let now = 1000; now <= 1100; now += 5) wheel.advance(now);
    assert.deepEqual(rang, ['a@1020']);
    assert.equal(wheel.size, 0);
  });
  test('keeps an entry over as many turns as it takes', () => {
    const { wheel, rang, alarm } = aWheel();
    wheel.schedule(alarm('far'), 1000 + 3 * 80 + 10);
    for (let now = 1010; now < 1250; now += 10) wheel.advance(now);
    assert.deepEqual(rang, []);
    wheel.advance(1250);
    assert.deepEqual(rang, ['far@1250']);
  });
  test('runs a time that has passed with the next tick', () => {
    const { wheel, rang, alarm } = aWheel();
    wheel.schedule(alarm('late'), 5);
    wheel.advance(1009);
    assert.deepEqual(rang, []);
    wheel.advance(1010);
    assert.deepEqual(rang, ['late@1010']);
  });
  test('moves an entry that is scheduled again, and forgets one that is cancelled', () => {
    const { wheel, rang, alarm } = aWheel();
    const [moved, gone] = [alarm('moved'), alarm('gone')];
    wheel.schedule(moved, 1010);
    wheel.schedule(moved, 1050);
    wheel.schedule(gone, 1010);
    wheel.cancel(gone);
    wheel.cancel(gone);
    assert.equal(wheel.size, 1);
    wheel.advance(1040);
    assert.deepEqual(rang, []);
    wheel.advance(1050);
    assert.deepEqual(rang, ['moved@1050']);
  });
  test('lets an entry schedule itself, cancel a neighbour that is due as well, and add others', () => {
    const { wheel, rang, alarm } = aWheel();
    const [first, second, third] = [alarm('first'), alarm('second'), alarm('third')];
    first.onDue = (now) => {
      wheel.cancel(second);
      if (rang.length < 3) wheel.schedule(first, now + 80);
      wheel.schedule(third, now);
    };
    wheel.schedule(first, 1010);
    wheel.schedule(second, 1010);
    wheel.advance(1010);
    wheel.advance(1090);
    assert.deepEqual(rang, ['first@1010', 'third@1090', 'first@1090']);
  });
  test('catches up after a pause longer than a turn, each entry once', () => {
    const { wheel, rang, alarm } = aWheel();
    for (let i = 0; i < 20; i++) wheel.schedule(alarm(`n${i}`), 1010 + i * 10);
    wheel.advance(5000);
    assert.equal(rang.length, 20);
    assert.equal(wheel.size, 0);
  });
  test('waits when its clock is set back', () => {
    const { wheel, rang, alarm } = aWheel();
    wheel.schedule(alarm('a'), 1010);
    wheel.advance(500);
    assert.deepEqual(rang, []);
    assert.equal(wheel.nowMs, 1000);
  });

  test('agrees with a sorted list over a random walk', () => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    let state = seed;
    const random = (below: number): number => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
      return Math.floor((state / 2 ** 31) * below);
    };
    const { wheel, rang, alarm } = aWheel();
    const due = new Map<Alarm, number>();
    const all = Array.from({ length: 50 }, (_, i) => alarm(String(i)));
    let now = 1000;
    for (let step = 0; step < 2000; step++) {
      const entry = all[random(all.length)]!;
      if (random(3) === 0) {
        wheel.cancel(entry);
        due.delete(entry);
      } else {
        const at = now + random(300);
        wheel.schedule(entry, at);
        due.set(entry, Math.max(Math.ceil(at / 10), Math.floor(now / 10) + 1));
      }
      now += random(25);
      wheel.advance(now);
      const expected = [...due].filter(([, tick]) => tick <= Math.floor(now / 10)).map(([each]) => each.name);
      for (const [each, tick] of due) if (tick <= Math.floor(now / 10)) due.delete(each);
      const ran = rang.splice(0).map((text) => text.split('@')[0]!);
      assert.deepEqual(new Set(ran), new Set(expected), `seed ${seed}`);
      assert.equal(ran.length, expected.length, `seed ${seed}`);
      assert.equal(wheel.size, due.size, `seed ${seed}`);
    }
  });
});
