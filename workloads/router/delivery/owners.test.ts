import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BootId } from '../../protocol/ids.ts';
import { Owners } from './owners.ts';

const KEYS = Array.from({ length: 20_000 }, (_, i) => `shop/t/topic-${i}`);
const boots = (count: number): BootId[] => Array.from({ length: count }, (_, i) => `boot-${i * 7919}` as BootId);
const any = (): boolean => true;
function ownersAmong(members: readonly BootId[], usable: (boot: BootId) => boolean = any) {
  const owners = new Owners();
  owners.set(members);
  return KEYS.map((key) => owners.ownerOf(key, usable));
}

test('every router owns about its share', () => {
  const members = boots(5);
  const owned = ownersAmong(members);
  for (const boot of members) {
    const share = owned.filter((owner) => owner === boot).length / KEYS.length;
    assert.ok(share > 0.14 && share < 0.26, `${boot} owns ${share}`);
  }
});

for (const count of [2, 4, 9])
  test(`a router that joins ${count} takes about 1/${count + 1} of the streams, from each, and nothing else moves; leaving gives it back`, () => {
    const members = boots(count + 1);
    const joining = members[count]!;
    const before = ownersAmong(members.slice(0, count));
    const after = ownersAmong(members);
    const moved = KEYS.flatMap((_, i) => (before[i] === after[i] ? [] : [i]));
    assert.ok(moved.every((i) => after[i] === joining));
    const share = moved.length / KEYS.length;
    assert.ok(Math.abs(share - 1 / (count + 1)) < 0.3 / (count + 1), `moved ${share}`);
    assert.deepEqual(ownersAmong(members.slice(0, count)), before);
  });

test('a router that cannot be reached is passed over as if it had left, and all agree whatever the order they know each other in', () => {
  const members = boots(4);
  const [gone] = members;
  const passed = ownersAmong(members, (boot) => boot !== gone);
  assert.deepEqual(passed, ownersAmong(members.slice(1)));
  assert.deepEqual(ownersAmong([...members].reverse()), ownersAmong(members));
});

test('without routers, or with none that can be reached, nobody owns a stream', () => {
  assert.equal(ownersAmong([])[0], null);
  assert.equal(ownersAmong(boots(3), () => false)[0], null);
});

test('told the same routers again, nothing has changed', () => {
  const owners = new Owners();
  assert.deepEqual([owners.set(boots(3)), owners.set(boots(3).reverse()), owners.set(boots(2))], [true, false, true]);
});
