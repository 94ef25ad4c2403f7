// Tells apps what they asked to be told (protocol/notices.ts): jobs of kind `notice` become signed POSTs to the app's webhook. At least once:
// `pushcluster-id` names the event, the same in each try. Failures are tried again with backoff for a day, then dropped and counted. A slow
// webhook has few posts under way, so that it holds up nobody else's.
import { createHash } from 'node:crypto';
import type { AppDefinition } from '../protocol/apps.ts';
import type { AppId } from '../protocol/ids.ts';
import { isNoticeWanted } from '../protocol/notices.ts';
import type { Notice } from '../protocol/notices.ts';
import type { SigningKey } from '../protocol/credentials.ts';
import type { HttpRoute } from '../runtime/http.ts';
import type { Log } from '../runtime/log.ts';
import { PostError } from '../runtime/signed-post.ts';
import type { Poster } from '../runtime/signed-post.ts';
import type { Job } from '../store/port.ts';
import type { RouterCounts } from './counts.ts';
import type { JobHandler, JobOutcome } from './push/jobs.ts';

export interface WebhooksOptions {
  readonly post: Poster;
  readonly appOf: (app: AppId) => AppDefinition | null;
  readonly nowMs: () => number;
  /** 0 ≤ x < 1 */
  readonly random: () => number;
  readonly log: Log;
  readonly counts: RouterCounts;
}

/** What became of a notice: `unwanted` the app does not ask for it (any more), `refused` its webhook said never again, `dropped` a day passed. */
export type WebhookOutcome = 'delivered' | 'again' | 'refused' | 'dropped' | 'unwanted' | 'unreadable';

/** Posts under way to one app from one router. */
export const WEBHOOKS_AT_ONCE = 16;
/** Shorter than a job's lease of 30 s: nobody else may post it meanwhile. */
const TIMEOUT_MIN_MS = 100;
const TIMEOUT_MAX_MS = 20_000;
export const WEBHOOK_GIVE_UP_MS = 24 * 3600_000;
const BACKOFF_MS = 1000;
const BACKOFF_MS_MAX = 3600_000;
/** A notice of an app that is busy looks again after about this. */
const BUSY_MS = 500;
/** Answers that are no verdict on the notice. */
const LATER = new Set([408, 425, 429]);

/** Runs jobs of kind 'notice'. */
export function postNotices(options: WebhooksOptions): JobHandler {
  const { appOf, counts, random } = options;
  const underWay = new Map<AppId, number>();
  const end = (outcome: WebhookOutcome): JobOutcome => {
    counts.webhooks[outcome]++;
    return 'done';
  };
  return async (job) => {
    const notice = parseNotice(job.payload);
    if (notice === null) return end('unreadable');
    const app = appOf(job.app);
    if (app === null || app.webhook === undefined || !isNoticeWanted(app, notice.event)) return end('unwanted');
    const busy = underWay.get(job.app) ?? 0;
    if (busy >= WEBHOOKS_AT_ONCE) return { laterMs: BUSY_MS * (0.5 + random()) };
    underWay.set(job.app, busy + 1);
    try {
      const outcome = await post(options, { job, notice, webhook: app.webhook });
      if (outcome.kind === 'end') return end(outcome.as);
      counts.webhooks.again++;
      return { laterMs: outcome.laterMs };
    } finally {
      const left = underWay.get(job.app)! - 1;
      if (left === 0) underWay.delete(job.app);
      else underWay.set(job.app, left);
    }
  };
}

type Posted =
  | { readonly kind: 'end'; readonly as: WebhookOutcome }
  | { readonly kind: 'again'; readonly laterMs: number };

async function post(
  options: WebhooksOptions,
  of: { job: Job; notice: Notice; webhook: NonNullable<AppDefinition['webhook']> },
): Promise<Posted> {
  const { job, notice, webhook } = of;
  const body = Buffer.from(JSON.stringify({ id: job.id, app: job.app, ...notice }));
  const timeoutMs = Math.min(Math.max(webhook.timeoutMs, TIMEOUT_MIN_MS), TIMEOUT_MAX_MS);
  try {
    const answer = await options.post({ url: webhook.url, body, timeoutMs, headers: { 'pushcluster-id': job.id } });
    if (answer.status >= 200 && answer.status < 300) return { kind: 'end', as: 'delivered' };
    if (answer.status < 500 && !LATER.has(answer.status)) return giveUp(options, of, `answered ${answer.status}`);
    return again(options, of, { reason: `answered ${answer.status}`, retryAfterMs: answer.retryAfterMs });
  } catch (error) {
    if (!(error instanceof PostError)) throw error;
    if (error.code === 'address') return giveUp(options, of, error.message);
    return again(options, of, { reason: error.message, retryAfterMs: null });
  }
}

function again(
  options: WebhooksOptions,
  { job, notice }: { job: Job; notice: Notice },
  why: { reason: string; retryAfterMs: number | null },
): Posted {
  const { log, nowMs, random } = options;
  const backoffMs = Math.min(BACKOFF_MS_MAX, BACKOFF_MS * 2 ** Math.min(job.claims, 20)) * (0.5 + random() / 2);
  const laterMs = Math.max(backoffMs, Math.min(why.retryAfterMs ?? 0, BACKOFF_MS_MAX));
  const fields = { app: job.app, notice: job.id, reason: why.reason };
  if (nowMs() + laterMs - notice.atMs > WEBHOOK_GIVE_UP_MS) {
    log.warn(fields, 'a notice is dropped: its webhook took it for a day not');
    return { kind: 'end', as: 'dropped' };
  }
  log.debug({ ...fields, laterMs }, 'a notice is posted again later');
  return { kind: 'again', laterMs };
}
function giveUp({ log }: WebhooksOptions, { job }: { job: Job }, reason: string): Posted {
  log.warn({ app: job.app, notice: job.id, reason }, 'a notice is dropped: its webhook refuses it');
  return { kind: 'end', as: 'refused' };
}

/** Null: not one. */
function parseNotice(payload: Uint8Array): Notice | null {
  try {
    const notice = JSON.parse(Buffer.from(payload).toString()) as Notice;
    return typeof notice.event === 'string' && Number.isFinite(notice.atMs) ? notice : null;
  } catch {
    return null;
  }
}

/** GET /v1/keys: the public keys that webhooks are checked with, as a JWKS. */
export function keysRoute(keys: () => readonly SigningKey[]): HttpRoute {
  return {
    method: 'GET',
    path: '/v1/keys',
    handler({ headers }) {
      const set = keys().map(({ kid, publicJwk }) => ({ ...publicJwk, kid, use: 'sig', alg: 'EdDSA' }));
      const body = JSON.stringify({ keys: set });
      const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;
      const cached = { 'cache-control': 'public, max-age=300', etag };
      if (headers['if-none-match'] === etag) return { status: 304, headers: cached };
      return { status: 200, body, headers: { ...cached, 'content-type': 'application/json' } };
    },
  };
}
