import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  CALM_LOOKS,
  HEADROOM_LOOK_MS,
  HEADROOM_TICK_MS,
  Headroom,
  SHARE_CUT,
  SHARE_CUT_VERY_LATE,
  SHARE_FLOOR,
  SHARE_GROWTH,
  SHARE_RISE,
  SHARE_START,
  VERY_LATE,
  stepShare,
} from './headroom.ts';
import type { Share } from './headroom.ts';

const MAX = 20;
const share = (at: number, wasCut = true, calmLooks = 0): Share => ({ share: at, wasCut, calmLooks });

describe('the share that clients who come back are given', () => {
  const cases = [
    ['grows by a factor until it was cut', share(0.5, false), { lateMs: 0, wanted: true }, 0.5 * SHARE_GROWTH],
    ['grows by a step after that', share(0.5), { lateMs: 0, wanted: true }, 0.5 + SHARE_RISE],
    ['grows at exactly the limit', share(0.5), { lateMs: MAX, wanted: true }, 0.5 + SHARE_RISE],
    ['is never more than everything', share(0.995), { lateMs: 0, wanted: true }, 1],
    ['stays while nobody wants more', share(0.5), { lateMs: 0, wanted: false }, 0.5],
    ['is cut past the limit', share(0.5, false), { lateMs: MAX + 1, wanted: true }, 0.5 * SHARE_CUT],
    ['is cut whether or not anybody wants more', share(0.5), { lateMs: MAX + 1, wanted: false }, 0.5 * SHARE_CUT],
    ['is cut deeper far past it', share(0.5), { lateMs: MAX * VERY_LATE + 1, wanted: true }, 0.5 * SHARE_CUT_VERY_LATE],
    ['never goes below its floor', share(SHARE_FLOOR), { lateMs: 5000, wanted: true }, SHARE_FLOOR],
  ] as const;
  for (const [title, before, look, after] of cases)
    test(title, () => {
      const stepped = stepShare(before, look, MAX);
      assert.ok(Math.abs(stepped.share - after) < 1e-9, `${stepped.share}`);
      assert.equal(stepped.wasCut, before.wasCut || look.lateMs > MAX);
    });
  test('is everything where no limit is set', () => {
    assert.deepEqual(stepShare(share(0.1), { lateMs: 5000, wanted: false }, 0), share(1, false));
    assert.equal(new Headroom({ lateMsMax: 0, nowMs: 0 }).share, 1);
  });
  test('is forgotten once it has been calm for five seconds, but for what is more than the start', () => {
    const calm = { lateMs: 0, wanted: false };
    const after = (from: Share, looks: number): Share => {
      let state = from;
      for (let i = 0; i < looks; i++) state = stepShare(state, calm, MAX);
      return state;
    };
    assert.deepEqual(after(share(0.07), CALM_LOOKS - 1), share(0.07, true, CALM_LOOKS - 1));
    assert.deepEqual(after(share(0.07), CALM_LOOKS), share(SHARE_START, false));
    assert.deepEqual(after(share(0.8), CALM_LOOKS), share(0.8, false));
    assert.equal(stepShare(share(0.07, true, 9), { lateMs: 0, wanted: true }, MAX).calmLooks, 0);
    assert.equal(stepShare(share(0.07, true, 9), { lateMs: MAX + 1, wanted: false }, MAX).calmLooks, 0);
  });
  test('comes back from its floor within twenty seconds', () => {
    let state = share(SHARE_FLOOR);
    let looks = 0;
    for (; state.share < 1; looks++) state = stepShare(state, { lateMs: 0, wanted: true }, MAX);
    assert.ok(looks * HEADROOM_LOOK_MS <= 20_000, `${looks} looks`);
  });
});

describe('the look at the event loop', () => {
  /** Ticks with these delays after their time, for a look's length each. */
  function after(lates: readonly number[], wanted = true): Headroom {
    const headroom = new Headroom({ lateMsMax: MAX, nowMs: 0 });
    let nowMs = 0;
    for (const late of lates) {
      if (wanted) headroom.want();
      headroom.tick((nowMs += HEADROOM_TICK_MS + late));
      for (const endMs = nowMs + HEADROOM_LOOK_MS; nowMs < endMs;) headroom.tick((nowMs += HEADROOM_TICK_MS));
    }
    return headroom;
  }
  test('cuts for one tick that was late, and counts it', () => {
    const headroom = after([MAX + 1]);
    assert.deepEqual([headroom.share, headroom.cuts], [SHARE_START * SHARE_CUT, 1]);
  });
  test('forgets it at the next', () => {
    assert.equal(after([MAX + 1, 0]).cuts, 1);
  });
  test('lets the share grow while somebody waits, and only then', () => {
    assert.ok(Math.abs(after([0, 0]).share - SHARE_START * SHARE_GROWTH ** 2) < 1e-9);
    assert.equal(after([0, 0], false).share, SHARE_START);
  });
});
