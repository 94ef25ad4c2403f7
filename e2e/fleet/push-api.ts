// One request to the push API over a kept-alive connection: what the publisher sends, and what each answer means to it. The only place of the
// fleet that knows the form of POST /v1/messages (workloads/router/schemas.ts).
import { Agent as HttpAgent, request as httpRequest } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { Lane } from '../../workloads/protocol/streams.ts';
import type { Attributes, Recipient } from './compare.ts';
import { deviceNames } from './names.ts';

/** What a publication may say of how it is delivered. */
export interface MessageWishes {
  readonly lane?: Lane;
  readonly ttlMs?: number;
  readonly deliver?: { readonly attemptsMax?: number; readonly ackTimeoutMs?: number; readonly idOnly?: boolean };
  readonly collapseKey?: string;
  readonly conflationKey?: string;
  readonly delayMs?: number;
}
export interface Publication extends MessageWishes {
  /** Idempotency key: the same for each sending. */
  readonly key: string;
  /** Who is owed a delivery. */
  readonly to: Recipient;
  /** It is addressed to this group, whose members' devices are those of `to`. */
  readonly group?: string;
  readonly class: 'durable' | 'live';
  readonly attributes?: Attributes;
  readonly body: unknown;
}
export type PushOutcome =
  | { readonly kind: 'accepted'; readonly id: string }
  /** It will not be taken, however often it is sent. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** It was not taken, or nobody knows: send it again with the same key. */
  | { readonly kind: 'again'; readonly reason: string; readonly retryAfterMs: number };

export interface PushApi {
  push(publication: Publication): Promise<PushOutcome>;
  close(): void;
}

const RETRY_MS = 200;

/** @param options.url of the router, without a path */
export function openPushApi(options: { url: string; apiKey: string; timeoutMs: number; connections: number }): PushApi {
  const url = new URL('/v1/messages', options.url);
  const secure = url.protocol === 'https:';
  const agentOptions = { keepAlive: true, maxSockets: options.connections };
  const agent = secure ? new HttpsAgent(agentOptions) : new HttpAgent(agentOptions);
  const send = (publication: Publication): Promise<{ status: number; text: string }> =>
    new Promise((resolve, reject) => {
      const { to, group, key, ...content } = publication;
      const { class: deliveryClass } = publication;
      const bytes = Buffer.from(JSON.stringify({ target: targetOf(to, group), ...content }));
      const headers = {
        authorization: `Bearer ${options.apiKey}`,
        'content-type': 'application/json',
        'content-length': bytes.length,
        ...(deliveryClass === 'durable' ? { 'idempotency-key': key } : {}),
      };
      const settings = { agent, method: 'POST', headers, timeout: options.timeoutMs };
      const request = (secure ? httpsRequest : httpRequest)(url, settings, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }));
        response.on('error', reject);
      });
      request.on('timeout', () => request.destroy(new Error('no answer in time')));
      request.on('error', reject);
      request.end(bytes);
    });
  return {
    async push(publication) {
      try {
        return outcomeOf(await send(publication));
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        return { kind: 'again', reason, retryAfterMs: RETRY_MS };
      }
    },
    close: () => agent.destroy(),
  };
}

function targetOf(to: Recipient, group: string | undefined): object {
  if (group !== undefined) return { group };
  return 'list' in to ? { devices: deviceNames(to.list) } : to;
}

/** What an answer means: 2xx with an id is accepted; 429 and 5xx are sent again; the rest is refused. */
export function outcomeOf({ status, text }: { status: number; text: string }): PushOutcome {
  const value = parse(text);
  const id = value['id'];
  if (status >= 200 && status < 300)
    return typeof id === 'string'
      ? { kind: 'accepted', id }
      : { kind: 'refused', reason: `${status} without an id: ${text.slice(0, 200)}` };
  const error = (value['error'] ?? {}) as { code?: string; message?: string; retryAfterMs?: number };
  const reason = `${status} ${error.code ?? ''} ${error.message ?? ''}`.trim();
  if (status === 429 || status >= 500) return { kind: 'again', reason, retryAfterMs: error.retryAfterMs ?? RETRY_MS };
  return { kind: 'refused', reason };
}

function parse(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
