// The operator's own health port: /healthz (it runs), /readyz (it leads or stands by), /metrics. main.ts starts it.
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { OperatorMetrics } from './metrics.ts';

export interface HealthPort {
  readonly port: number;
  stop(): Promise<void>;
}

export function startHealth(options: {
  readonly bind: string;
  readonly port: number;
  readonly metrics: OperatorMetrics;
  readonly isReady: () => boolean;
}): Promise<HealthPort> {
  const server = createServer((request, response) => {
    const answer = (status: number, body: string, type = 'text/plain'): void => {
      response.writeHead(status, { 'content-type': type }).end(body);
    };
    if (request.method !== 'GET') return answer(405, 'expected GET\n');
    if (request.url === '/healthz') return answer(200, 'ok\n');
    if (request.url === '/readyz') return options.isReady() ? answer(200, 'ok\n') : answer(503, 'not ready\n');
    if (request.url !== '/metrics') return answer(404, 'expected /healthz, /readyz or /metrics\n');
    options.metrics.render().then(
      (text) => answer(200, text, options.metrics.contentType),
      (error: unknown) => answer(500, `${String(error)}\n`),
    );
  });
  return listen(server, options);
}

function listen(server: Server, at: { readonly bind: string; readonly port: number }): Promise<HealthPort> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(at.port, at.bind, () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : at.port;
      const stop = (): Promise<void> =>
        new Promise((done) => {
          server.close(() => done());
          server.closeAllConnections();
        });
      resolve({ port, stop });
    });
  });
}
