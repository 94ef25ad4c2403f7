// The few requests that bringing a cluster up needs, straight over HTTPS: starting kubectl for each look costs
// 80 ms of CPU, this 2 ms. Scenarios use kubectl.ts or the real client.

import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { pki } from './certificates.ts';
import { apiServerUrl } from './layout.ts';
import type { ClusterLayout } from './layout.ts';

/** What the API server answered. */
export interface ApiAnswer {
  readonly status: number;
  readonly body: string;
}

/** Asks the API server as the cluster's administrator; keeps its connection. */
export interface ApiClient {
  readonly get: (path: string) => Promise<ApiAnswer>;
  readonly post: (path: string, body: unknown) => Promise<ApiAnswer>;
  readonly close: () => void;
}

/** Opens a client with the administrator's certificate. No request is made yet. */
export function openApiClient(layout: ClusterLayout): ApiClient {
  const agent = new Agent({
    keepAlive: true,
    ca: readFileSync(pki(layout, 'ca.crt')),
    cert: readFileSync(pki(layout, 'admin.crt')),
    key: readFileSync(pki(layout, 'admin.key')),
  });
  return {
    get: async (path) => await ask(agent, { method: 'GET', path }),
    post: async (path, body) => await ask(agent, { method: 'POST', path, body: JSON.stringify(body) }),
    close: () => agent.destroy(),
  };
}

async function ask(
  agent: Agent,
  call: { readonly method: string; readonly path: string; readonly body?: string },
): Promise<ApiAnswer> {
  return await new Promise((resolve, reject) => {
    const headers = call.body === undefined ? {} : { 'content-type': 'application/json' };
    const options = { agent, method: call.method, headers, timeout: 5_000 };
    const outgoing = request(new URL(call.path, apiServerUrl), options, (incoming) => {
      const chunks: Buffer[] = [];
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
      incoming.once('error', reject);
      incoming.once('end', () => {
        resolve({ status: incoming.statusCode ?? 0, body: Buffer.concat(chunks).toString() });
      });
    });
    outgoing.once('timeout', () => outgoing.destroy(new Error(`no answer within 5 s: ${call.path}`)));
    outgoing.once('error', reject);
    outgoing.end(call.body);
  });
}
