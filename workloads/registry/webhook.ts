// Asks an app's auth webhook about a device. The contract, also in openapi.yaml: POST {app, account, device, credential} as JSON;
// 200 {"allow": true, "topics"?: […]} lets it in, 200 {"allow": false, "reason"?: "…"}, 401 or 403 refuse it; anything else is a failure.
// The address is the platform team's own (PushApp), so private addresses are allowed; redirects are not followed, so it stays that one.
import { RefusedError } from '../protocol/codes.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import { isTopicPattern } from './topics.ts';

export interface WebhookQuestion {
  readonly app: string;
  readonly account: string;
  readonly device: string;
  /** What the client sent under `credential.webhook` or `credential.token`; null: nothing. */
  readonly credential: unknown;
}
export interface Webhook {
  /** Resolves when the app allows; topics null: it does not narrow. Rejects with RefusedError. */
  ask(
    webhook: { readonly url: string; readonly timeoutMs: number },
    question: WebhookQuestion,
    log: Log,
  ): Promise<{ readonly topics: readonly string[] | null }>;
}

/** One answer, bytes: 32 patterns are 5 KB. */
export const WEBHOOK_ANSWER_BYTES_MAX = 16 * 1024;
/** Questions under way for one app; more get 503, so that one slow webhook cannot hold everyone's requests. */
export const WEBHOOK_IN_FLIGHT_MAX = 256;
const TIMEOUT_MIN_MS = 100;
const TIMEOUT_MAX_MS = 30_000;
const RETRY_AFTER_MS = 2000;

class WebhookFault extends Error {
  readonly code = 'webhook-fault';
}

/** @param options.fetch for tests; the platform's by default */
export function openWebhook(options: { fetch: typeof fetch; clock: Clock }): Webhook {
  const inFlight = new Map<string, number>();
  return {
    async ask(webhook, question, log) {
      const busy = inFlight.get(question.app) ?? 0;
      if (busy >= WEBHOOK_IN_FLIGHT_MAX)
        throw new RefusedError(
          'overloaded',
          `the auth webhook of app ${question.app} is too slow for this many devices`,
          {
            retryAfterMs: RETRY_AFTER_MS,
          },
        );
      inFlight.set(question.app, busy + 1);
      try {
        return parseVerdict(await post(webhook, question, options));
      } catch (error) {
        if (error instanceof RefusedError) throw error;
        log.warn({ app: question.app, problem: describeFault(error) }, 'auth webhook failed');
        throw new RefusedError('auth-webhook-failed', `the auth webhook of app ${question.app} gave no verdict`, {
          retryAfterMs: RETRY_AFTER_MS,
          cause: error,
        });
      } finally {
        const left = inFlight.get(question.app)! - 1;
        if (left === 0) inFlight.delete(question.app);
        else inFlight.set(question.app, left);
      }
    },
  };
}

async function post(
  webhook: { readonly url: string; readonly timeoutMs: number },
  question: WebhookQuestion,
  options: { fetch: typeof fetch; clock: Clock },
): Promise<unknown> {
  const timeoutMs = Math.min(Math.max(webhook.timeoutMs, TIMEOUT_MIN_MS), TIMEOUT_MAX_MS);
  const abort = new AbortController();
  const cancel = options.clock.after(timeoutMs, () =>
    abort.abort(new WebhookFault(`expected an answer within ${timeoutMs} ms`)),
  );
  try {
    const response = await options.fetch(webhook.url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json' },
      body: JSON.stringify(question),
      redirect: 'manual',
      signal: abort.signal,
    });
    if (response.status === 401 || response.status === 403) {
      await response.body?.cancel();
      throw new RefusedError('unauthenticated', 'the app refused the device', { field: 'credential' });
    }
    if (response.status !== 200) {
      await response.body?.cancel();
      throw new WebhookFault(`expected status 200, 401 or 403, got ${response.status}`);
    }
    return JSON.parse(await readBounded(response));
  } finally {
    cancel();
  }
}

async function readBounded(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    bytes += chunk.length;
    if (bytes > WEBHOOK_ANSWER_BYTES_MAX) throw new WebhookFault(`expected at most ${WEBHOOK_ANSWER_BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parseVerdict(value: unknown): { readonly topics: readonly string[] | null } {
  const row = typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  if (row['allow'] === false) {
    const reason = typeof row['reason'] === 'string' ? `: ${row['reason'].slice(0, 200)}` : '';
    throw new RefusedError('unauthenticated', `the app refused the device${reason}`, { field: 'credential' });
  }
  if (row['allow'] !== true) throw new WebhookFault('expected {"allow": true} or {"allow": false}');
  const { topics } = row;
  if (topics === undefined || topics === null) return { topics: null };
  if (!Array.isArray(topics) || topics.length > LIMITS.topicPatternsMax || !topics.every(isTopicPattern))
    throw new WebhookFault(`topics: expected at most ${LIMITS.topicPatternsMax} names or prefixes ending in *`);
  return { topics };
}

/** fetch hides the reason in `cause`. Never the answer's text: it is the app's. */
function describeFault(error: unknown): string {
  if (error instanceof SyntaxError) return 'expected JSON';
  const cause = error instanceof Error && error.cause instanceof Error ? ` (${error.cause.message})` : '';
  return error instanceof Error ? `${error.message}${cause}` : String(error);
}
