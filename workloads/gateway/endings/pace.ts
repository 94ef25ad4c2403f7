// Pacing of one client from how long it takes from a write to its ack (B6). Pure. A client that acks late is given less at a time, at last
// one message, then ids only; it comes back up when its acks are quick again. window.ts asks it, frames/ack.ts and ack-watch.ts feed it.
//
// A pace is made with the first sign of slowness and goes away when the client has been quick for a while: nearly every session has none.

/** What a client may have under way, step by step; the setting windowMessagesMax bounds the first ones too. */
export const PACE_STEPS: readonly { readonly window: number; readonly idOnly: boolean }[] = [
  { window: Number.POSITIVE_INFINITY, idOnly: false },
  { window: 64, idOnly: false },
  { window: 16, idOnly: false },
  { window: 1, idOnly: false },
  { window: 1, idOnly: true },
];
/** Slower than that on average: a step down. Quicker: a step up. Between them nothing changes, so that no client flaps. */
export const PACE_SLOW_MS = 2000;
export const PACE_QUICK_MS = 500;
/** Each step is judged by samples of its own: so many before a step down, and before a step up. */
export const PACE_SAMPLES_DOWN = 2;
export const PACE_SAMPLES_UP = 4;
const NEW_SHARE = 0.3;

export interface PaceState {
  /** Place in PACE_STEPS. */
  readonly step: number;
  /** Average of this step's samples, weighted to the newest, ms. */
  readonly ewmaMs: number;
  readonly samples: number;
}
export const PACE_START: PaceState = { step: 0, ewmaMs: 0, samples: 0 };

/** One more write that was acked after so long (or not at all, for as long). Null: it has been quick at full width; no pace is needed. */
export function paceAfter(before: PaceState, waitedMs: number): PaceState | null {
  const samples = before.samples + 1;
  const ewmaMs = before.samples === 0 ? waitedMs : before.ewmaMs + NEW_SHARE * (waitedMs - before.ewmaMs);
  if (ewmaMs > PACE_SLOW_MS && samples >= PACE_SAMPLES_DOWN && before.step < PACE_STEPS.length - 1)
    return { step: before.step + 1, ewmaMs: 0, samples: 0 };
  if (ewmaMs < PACE_QUICK_MS && samples >= PACE_SAMPLES_UP)
    return before.step === 0 ? null : { step: before.step - 1, ewmaMs: 0, samples: 0 };
  return { step: before.step, ewmaMs, samples };
}
