import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { seeded } from '../link/fixtures.ts';
import type { GatewayName } from '../protocol/ids.ts';
import { STRATEGIES } from '../protocol/routing.ts';
import type { Strategy } from '../protocol/routing.ts';
import { ASSIGNED_MAX, assignGateways, buildAssignTable, describeLoads } from './assign.ts';
import type { AssignTable, Candidate, Loads } from './assign.ts';

const SEED = Number(process.env['SEED'] ?? 20_270_115);
console.log(`assign.test.ts: SEED=${SEED}`);

function gateways(weights: readonly number[], capacity = 1000): Candidate[] {
  return weights.map((weight, i) => {
    const name = `demo-gateway-${i}` as GatewayName;
    return { name, url: `ws://${name}:8080/`, weight, capacity };
  });
}
const same = (n: number): Candidate[] => gateways(Array.from({ length: n }, () => 100));
const noLoads = (table: AssignTable): Loads => describeLoads(table, new Map());

/** What 20,000 devices are given first. */
function firsts(table: AssignTable, keys = 20_000, loads = noLoads(table)): string[] {
  const random = seeded(SEED);
  return Array.from({ length: keys }, (_, turn) => {
    const request = { key: `shop/device-${SEED}-${turn}`, turn, random, exclude: new Set<string>(), loads };
    return assignGateways(table, request)[0]!.name;
  });
}
function counts(names: readonly string[]): Map<string, number> {
  const out = new Map<string, number>();
  for (const name of names) out.set(name, (out.get(name) ?? 0) + 1);
  return out;
}
/** Share of devices whose first gateway differs, among those that need not move, and among all. */
function movement(strategy: Strategy, before: readonly Candidate[], after: readonly Candidate[]) {
  const [old, now] = [firsts(buildAssignTable(strategy, before)), firsts(buildAssignTable(strategy, after))];
  const [left, right] = [new Set<string>(before.map((c) => c.name)), new Set<string>(after.map((c) => c.name))];
  const moved = old.filter((name, i) => name !== now[i]).length;
  const needless = old.filter((name, i) => name !== now[i] && right.has(name) && left.has(now[i]!)).length;
  return { moved: moved / old.length, needless: needless / old.length };
}

describe('distribution over ten gateways of the same weight', () => {
  // Largest relative distance of a gateway's share from a tenth. 20,000 draws: one standard deviation is 2.1 %, 4 of them 8.5 %;
  // the ring's own spread is 8 % for each of ten, 3 of them 24 %.
  const bounds: Record<Strategy, number> = {
    'round-robin': 0,
    'hash-mod': 0.085,
    'consistent-hash': 0.24,
    weighted: 0.085,
    'least-loaded': 0.085,
  };
  for (const strategy of STRATEGIES)
    test(`${strategy} stays within ${bounds[strategy] * 100} % of equal shares`, (t) => {
      const shares = counts(firsts(buildAssignTable(strategy, same(10))));
      const worst = Math.max(...[...shares.values()].map((n) => Math.abs(n / 2000 - 1)));
      t.diagnostic(`seed ${SEED}: worst ${(worst * 100).toFixed(1)} %`);
      assert.equal(shares.size, 10);
      assert.ok(worst <= bounds[strategy], `worst ${worst}`);
    });
});

describe('distribution by weight', () => {
  const weights = [50, 100, 150, 200];
  for (const strategy of ['weighted', 'least-loaded', 'consistent-hash'] as const)
    test(`${strategy} follows weights of 1 : 2 : 3 : 4`, (t) => {
      const shares = counts(firsts(buildAssignTable(strategy, gateways(weights))));
      const expected = weights.map((w) => (20_000 * w) / 500);
      const got = weights.map((_, i) => shares.get(`demo-gateway-${i}`) ?? 0);
      t.diagnostic(`seed ${SEED}: expected ${expected.join()} got ${got.join()}`);
      const chiSquare = got.reduce((sum, n, i) => sum + (n - expected[i]!) ** 2 / expected[i]!, 0);
      if (strategy === 'consistent-hash') {
        for (const [i, n] of got.entries()) assert.ok(Math.abs(n / expected[i]! - 1) < 0.35, `${i}: ${n}`);
      } else assert.ok(chiSquare < 21.1, `chi-square ${chiSquare}`); // 3 degrees of freedom, p = 0.0001
    });
});

describe('movement when gateways come and go', () => {
  test('consistent-hash moves about one of eleven when an eleventh comes, and nobody between those that stay', (t) => {
    const { moved, needless } = movement('consistent-hash', same(10), same(11));
    t.diagnostic(`seed ${SEED}: moved ${(moved * 100).toFixed(1)} %`);
    assert.ok(moved <= (1 / 11) * 1.25, `moved ${moved}`);
    assert.equal(needless, 0);
  });

  test('consistent-hash moves only those of the gateway that goes', (t) => {
    const { moved, needless } = movement('consistent-hash', same(10), same(10).toSpliced(4, 1));
    t.diagnostic(`seed ${SEED}: moved ${(moved * 100).toFixed(1)} %`);
    assert.ok(moved <= (1 / 10) * 1.25, `moved ${moved}`);
    assert.equal(needless, 0);
  });

  test('consistent-hash moves in proportion when a weight changes', (t) => {
    const heavier = same(10).with(0, { ...same(10)[0]!, weight: 200 });
    const { moved } = movement('consistent-hash', same(10), heavier);
    t.diagnostic(`seed ${SEED}: moved ${(moved * 100).toFixed(1)} %`);
    assert.ok(moved > 0.03 && moved <= (1 / 11) * 1.35, `moved ${moved}`);
  });

  test('hash-mod moves most devices when an eleventh comes: choose it only where gateways never change', (t) => {
    const { moved } = movement('hash-mod', same(10), same(11));
    t.diagnostic(`seed ${SEED}: moved ${(moved * 100).toFixed(1)} %`);
    assert.ok(Math.abs(moved - 10 / 11) < 0.02, `moved ${moved}`);
  });

  for (const strategy of ['hash-mod', 'consistent-hash'] as const)
    test(`${strategy} gives a device the same gateways whatever the order in the document`, () => {
      const [a, b] = [buildAssignTable(strategy, same(9)), buildAssignTable(strategy, same(9).reverse())];
      assert.deepEqual(firsts(a, 500), firsts(b, 500));
    });
});

describe('the answer', () => {
  const assigned = (
    table: AssignTable,
    exclude: readonly string[] = [],
    loads = noLoads(table),
    turn = 0,
  ): string[] => {
    const request = { key: `shop/d${turn}`, turn, random: seeded(SEED + turn), exclude: new Set(exclude), loads };
    return assignGateways(table, request).map((c) => c.name);
  };

  for (const strategy of STRATEGIES) {
    test(`${strategy} names three different gateways, fewer when there are fewer, none when there are none`, () => {
      for (const n of [0, 1, 2, 3, 7]) {
        const table = buildAssignTable(strategy, same(n));
        for (let turn = 0; turn < 50; turn++) {
          const names = assigned(table, [], noLoads(table), turn);
          assert.equal(names.length, Math.min(n, ASSIGNED_MAX));
          assert.equal(new Set(names).size, names.length);
        }
      }
    });

    test(`${strategy} gives gateways that failed the client last, and still gives them when nothing else is there`, () => {
      const table = buildAssignTable(strategy, same(4));
      const failed = ['demo-gateway-1', 'demo-gateway-2'];
      for (let turn = 0; turn < 50; turn++) {
        const names = assigned(table, failed, noLoads(table), turn);
        assert.deepEqual(names.slice(0, 2).sort(), ['demo-gateway-0', 'demo-gateway-3']);
        assert.ok(failed.includes(names[2]!));
      }
      assert.equal(assigned(buildAssignTable(strategy, same(1)), ['demo-gateway-0']).length, 1);
    });

    test(`${strategy} gives gateways at capacity after those below it, and before those that failed`, () => {
      const table = buildAssignTable(strategy, same(3));
      const at = new Map([
        ['demo-gateway-0' as GatewayName, 1000],
        ['demo-gateway-1' as GatewayName, 999],
      ]);
      for (let turn = 0; turn < 50; turn++)
        assert.deepEqual(assigned(table, ['demo-gateway-2'], { ...describeLoads(table, at), over: [] }, turn), [
          'demo-gateway-1',
          'demo-gateway-0',
          'demo-gateway-2',
        ]);
    });
  }

  test('round-robin takes turns', () => {
    const table = buildAssignTable('round-robin', same(3));
    assert.deepEqual(
      [0, 1, 2, 3].map((turn) => assigned(table, [], noLoads(table), turn)[0]!.at(-1)),
      ['0', '1', '2', '0'],
    );
  });

  test('weighted gives a gateway of weight 1 beside one of 1000 as the second choice', () => {
    const table = buildAssignTable('weighted', gateways([1000, 1]));
    assert.deepEqual(new Set(assigned(table)), new Set(['demo-gateway-0', 'demo-gateway-1']));
  });
});

describe('bounded load of consistent-hash', () => {
  test('a gateway is over at 1.25 times its share and 16 more, not one below', () => {
    const table = buildAssignTable('consistent-hash', gateways([100, 300], 1e6));
    const of = (first: number, second: number) =>
      describeLoads(
        table,
        new Map([
          ['demo-gateway-0' as GatewayName, first],
          ['demo-gateway-1' as GatewayName, second],
        ]),
      ).over;
    // Total 1,000: the share of the first is 250.25, bound ceil(312.8) + 16 = 329.
    assert.deepEqual(of(328, 672), [false, false]);
    assert.deepEqual(of(329, 671), [true, false]);
  });

  test('as connections fill up gateway by gateway, none passes its bound', () => {
    const table = buildAssignTable('consistent-hash', same(10));
    const held = new Map<GatewayName, number>();
    for (let i = 0; i < 5000; i++) {
      const request = { key: `shop/one-tenant-${i % 40}`, turn: i, random: Math.random, exclude: new Set<string>() };
      const name = assignGateways(table, { ...request, loads: describeLoads(table, held) })[0]!.name;
      held.set(name, (held.get(name) ?? 0) + 1);
    }
    for (const [name, n] of held) assert.ok(n <= Math.ceil(1.25 * 500.1) + 16, `${name}: ${n}`);
  });
});

test('an answer costs microseconds with 200 gateways, since the table is built once', (t) => {
  for (const strategy of STRATEGIES) {
    const startedAt = performance.now();
    const table = buildAssignTable(strategy, same(200));
    const builtAt = performance.now();
    firsts(table, 10_000);
    const each = ((performance.now() - builtAt) * 1000) / 10_000;
    t.diagnostic(`${strategy}: table ${(builtAt - startedAt).toFixed(1)} ms, answer ${each.toFixed(1)} µs`);
    assert.ok(each < 500, `${strategy}: ${each} µs`);
  }
});
