// The circuit of one gateway's link (C7), pure: failures in a row open it, then what is for that gateway goes over the bus; after a while
// single deliveries try the link again, and the first answer closes it. gateway-path.ts feeds it and asks it for each delivery.

export type Circuit =
  | { readonly state: 'closed'; readonly failures: number }
  /** `opens`: times it opened without an answer in between. */
  | { readonly state: 'open'; readonly untilMs: number; readonly opens: number }
  | { readonly state: 'half-open'; readonly opens: number; readonly probedMs: number | null };

/** `failed`: the link fell, could not be opened, or owes an answer for too long. `succeeded`: an answer came over it. */
export type CircuitEvent = 'failed' | 'succeeded';
/** `probe`: over the link and over the bus; whoever gets both takes one. */
export type Way = 'direct' | 'divert' | 'probe';

export const CLOSED: Circuit = { state: 'closed', failures: 0 };
/** A link that is down is tried again within 100, 200, 400 … ms: the fifth failure in a row comes after about 1.5 s. */
export const FAILURES_MAX = 5;
const OPEN_START_MS = 1000;
const OPEN_MAX_MS = 30_000;
/** A probe that is not answered by then has failed. */
export const PROBE_MS = 2000;

/** What an event makes of it. */
export function stepCircuit(circuit: Circuit, event: CircuitEvent, nowMs: number): Circuit {
  if (event === 'succeeded') {
    // An answer that was under way when it opened is no proof that the link is well.
    if (circuit.state === 'open') return circuit;
    return circuit.state === 'closed' && circuit.failures === 0 ? circuit : CLOSED;
  }
  switch (circuit.state) {
    case 'closed':
      return circuit.failures + 1 < FAILURES_MAX ? { state: 'closed', failures: circuit.failures + 1 } : open(1, nowMs);
    case 'open':
      return circuit;
    case 'half-open':
      return circuit.probedMs === null ? circuit : open(circuit.opens + 1, nowMs);
  }
}

/** Time passes: an open circuit lets probes through, a probe without an answer has failed. */
export function tickCircuit(circuit: Circuit, nowMs: number): Circuit {
  if (circuit.state === 'open' && nowMs >= circuit.untilMs)
    return { state: 'half-open', opens: circuit.opens, probedMs: null };
  if (circuit.state === 'half-open' && circuit.probedMs !== null && nowMs - circuit.probedMs >= PROBE_MS)
    return open(circuit.opens + 1, nowMs);
  return circuit;
}

/** Which way a delivery goes now; a half-open circuit has one probe under way at a time. */
export function wayOf(circuit: Circuit): Way {
  if (circuit.state === 'closed') return 'direct';
  return circuit.state === 'half-open' && circuit.probedMs === null ? 'probe' : 'divert';
}

/** A probe was sent. */
export function probed(circuit: Circuit, nowMs: number): Circuit {
  return circuit.state === 'half-open' ? { ...circuit, probedMs: nowMs } : circuit;
}

function open(opens: number, nowMs: number): Circuit {
  const waitMs = Math.min(OPEN_MAX_MS, OPEN_START_MS * 2 ** Math.min(opens - 1, 10));
  return { state: 'open', untilMs: nowMs + waitMs, opens };
}
