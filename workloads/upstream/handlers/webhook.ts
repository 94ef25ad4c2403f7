// webhook: posts each message, signed, to the address of its rule. 2xx: handled. 4xx: the business refuses it for good. 408, 429, 502, 503,
// 504 and no connection: later, not the message's fault. Any other answer and no answer in time: a failure of this message.
// The business sees a message again only after a crash between its answer and our settling; `pushcluster-id` names it.
import { PostError } from '../../runtime/signed-post.ts';
import type { Poster } from '../../runtime/signed-post.ts';
import { nameOfMessage } from '../claims.ts';
import type { Claims } from '../claims.ts';
import type { UpstreamMessage } from '../message.ts';
import { DUPLICATE, HANDLED, HandlerUnavailableError } from './handler.ts';
import type { Outcome, UpstreamHandler } from './handler.ts';

export interface WebhookOptions {
  readonly url: string;
  readonly post: Poster;
  readonly claims: Claims;
  readonly timeoutMs: number;
  readonly concurrency: number;
}

const LATER = new Set([408, 429, 502, 503, 504]);

export function openWebhook(options: WebhookOptions): UpstreamHandler {
  return {
    batchMax: 1,
    concurrency: options.concurrency,
    async handle([message]) {
      if (!(await options.claims.claim(message!))) return [DUPLICATE];
      return [await post(options, message!)];
    },
    close: () => Promise.resolve(),
  };
}

async function post({ url, post: send, timeoutMs }: WebhookOptions, message: UpstreamMessage): Promise<Outcome> {
  const { app, account, device, kind, key, receivedAtMs, body } = message;
  const text = JSON.stringify({ app, account, device, kind, key, receivedAtMs, body });
  const headers = { 'pushcluster-id': nameOfMessage(message) };
  try {
    const { status, retryAfterMs } = await send({ url, body: Buffer.from(text), headers, timeoutMs });
    if (status >= 200 && status < 300) return HANDLED;
    const reason = `webhook: answered ${status}`;
    if (LATER.has(status)) return { kind: 'unavailable', reason, ...(retryAfterMs === null ? {} : { retryAfterMs }) };
    return { kind: status >= 500 ? 'failed' : 'rejected', reason };
  } catch (error) {
    if (!(error instanceof PostError)) throw error;
    const reason = `webhook: ${error.message}`;
    if (error.code === 'timeout') return { kind: 'failed', reason };
    throw new HandlerUnavailableError(reason, { cause: error });
  }
}
