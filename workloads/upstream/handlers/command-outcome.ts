// A router's answer to what it means for the message. Used by the handlers that go through a router.
import type { CommandAnswer } from '../router-link.ts';
import { DUPLICATE, HANDLED } from './handler.ts';
import type { Outcome } from './handler.ts';

/** Accepted; refused for good (the message's or the app's fault); asked to come later; or a failure. */
export function outcomeOf({ status, body }: CommandAnswer): Outcome {
  const error = fieldsOf(fieldsOf(body)['error']);
  const reason = `router: ${status} ${textOf(error['code'])} ${textOf(error['message'])}`.trim();
  if (status < 300) return fieldsOf(body)['duplicate'] === true ? DUPLICATE : HANDLED;
  if (status === 429 || status === 503) {
    const after = error['retryAfterMs'];
    return { kind: 'unavailable', reason, ...(typeof after === 'number' ? { retryAfterMs: after } : {}) };
  }
  if (status >= 400 && status < 500) return { kind: 'rejected', reason };
  return { kind: 'failed', reason };
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
function fieldsOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
