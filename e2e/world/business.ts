// The business behind an app, as a scenario plays it: calls of the push API with its key, the ledger at the end, and the webhook that
// it is told things by, with signatures checked against the keys that the router publishes.
import assert from 'node:assert/strict';
import { createPublicKey, verify } from 'node:crypto';
import type { JsonWebKey, KeyObject } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { waitFor } from '../cluster/wait.ts';
import { controlPlaneIp } from '../cluster/layout.ts';
import type { Stage } from './stage.ts';

type Json = Readonly<Record<string, unknown>>;

export interface Business {
  /** Answers the body; fails where the status is not the one expected (default: any of 2xx). */
  call<T = Json>(method: string, path: string, body?: unknown, status?: number): Promise<T>;
  /** Pushes; answers the message's id. */
  push(message: Json): Promise<string>;
  /** Waits until the counts of a message's deliveries are these. */
  whenDelivered(id: string, wanted: Readonly<Record<string, number>>, timeoutMs?: number): Promise<void>;
}

export interface LedgerSeen {
  readonly accepted: number;
  readonly acked: number;
  readonly expired: number;
  readonly dead: number;
  readonly cancelled: number;
  readonly filtered: number;
  readonly waiting: number;
  readonly untracked: { readonly accepted: number; readonly acked: number };
  readonly recounted?: { readonly waiting: number; readonly agrees: boolean };
}

export function businessOf(stage: Pick<Stage, 'routerUrl' | 'app'>): Business {
  const headers = { authorization: `Bearer ${stage.app.apiKey}`, 'content-type': 'application/json' };
  const call = async <T = Json>(method: string, path: string, body?: unknown, status?: number): Promise<T> => {
    const request = body === undefined ? { method, headers } : { method, headers, body: JSON.stringify(body) };
    const answer = await fetch(`${stage.routerUrl}${path}`, request);
    const text = await answer.text();
    const isAsWanted = status === undefined ? answer.ok : answer.status === status;
    assert.ok(isAsWanted, `${method} ${path}: expected ${status ?? '2xx'}, got ${answer.status} ${text.slice(0, 500)}`);
    return JSON.parse(text) as T;
  };
  return {
    call,
    push: async (message) => (await call<{ id: string }>('POST', '/v1/messages', message)).id,
    whenDelivered: async (id, wanted, timeoutMs = 30_000) => {
      const look = async (): Promise<true> => {
        const { deliveries } = await call<{ deliveries: Readonly<Record<string, number>> }>(
          'GET',
          `/v1/messages/${id}`,
        );
        if (Object.entries(wanted).every(([state, count]) => deliveries[state] === count)) return true;
        throw new Error(`deliveries are ${JSON.stringify(deliveries)}`);
      };
      await waitFor(`message ${id} to be ${JSON.stringify(wanted)}`, look, { timeoutMs, intervalMs: 300 });
    },
  };
}

/** The ledger once nothing moves: exact, and as an independent count of what waits says (R12). */
export async function assertLedgerExact(business: Business, timeoutMs = 60_000): Promise<LedgerSeen> {
  const look = async (): Promise<LedgerSeen> => {
    const ledger = await business.call<LedgerSeen>('GET', '/v1/ledger?recount=true');
    const { accepted, acked, expired, dead, cancelled, filtered, recounted } = ledger;
    const ended = acked + expired + dead + cancelled + filtered;
    if (recounted?.agrees === true && accepted === ended + recounted.waiting) return ledger;
    throw new Error(JSON.stringify(ledger));
  };
  return await waitFor('the ledger to be exact', look, { timeoutMs, intervalMs: 500 });
}

/** As any business does it: the header's key from the published set, Ed25519 over time and body. */
function verifier(routerUrl: () => string): (header: string, body: Buffer) => Promise<boolean> {
  const known = new Map<string, KeyObject>();
  return async (header, body) => {
    const [, t = '', kid = '', v1 = ''] = /^t=(\d+),kid=([\w-]+),v1=([\w-]+)$/.exec(header) ?? [];
    if (!known.has(kid)) {
      const { keys } = (await (await fetch(`${routerUrl()}/v1/keys`)).json()) as {
        keys: (JsonWebKey & { kid: string })[];
      };
      for (const key of keys) known.set(key.kid, createPublicKey({ key, format: 'jwk' }));
    }
    const key = known.get(kid);
    const signed = Buffer.concat([Buffer.from(`${t}.`), body]);
    return key !== undefined && verify(null, signed, key, Buffer.from(v1, 'base64url'));
  };
}

export interface Told {
  readonly event: string;
  readonly [field: string]: unknown;
}
export interface WebhookReceiver {
  readonly url: string;
  /** What came, each id once. */
  readonly told: readonly Told[];
  /** Posts in all, repeated ones too, and those whose signature did not fit. */
  readonly posts: () => number;
  readonly unsigned: () => number;
  close(): Promise<void>;
}

/** Listens where pods reach it. `routerUrl` is asked for the keys with the first post: the webhook is there before the cluster. */
export async function startWebhookReceiver(routerUrl: () => string): Promise<WebhookReceiver> {
  const isSignedBy = verifier(routerUrl);
  const byId = new Map<string, Told>();
  const told: Told[] = [];
  let posts = 0;
  let unsigned = 0;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks);
      posts++;
      void isSignedBy(String(request.headers['pushcluster-signature']), body).then((isSigned) => {
        if (!isSigned) unsigned++;
        const id = String(request.headers['pushcluster-id'] ?? body.toString());
        if (!byId.has(id)) {
          const event = JSON.parse(body.toString()) as Told;
          byId.set(id, event);
          told.push(event);
        }
        response.writeHead(204).end();
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '0.0.0.0', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${controlPlaneIp}:${port}/events`,
    told,
    posts: () => posts,
    unsigned: () => unsigned,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
