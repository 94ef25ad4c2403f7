// The other side of a comparison: a Centrifugo of yours (`go install github.com/centrifugal/centrifugo/v6@v6.9.1`), started with its
// defaults but for what a bench without tokens needs, on loopback, published to through its HTTP API in batches as ours is.
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BatchSender } from './batches.ts';
import { freePort } from '../../workloads/runtime/free-port.ts';
import { startProcess } from './processes.ts';

export interface OtherServer {
  readonly pid: number;
  readonly port: number;
  readonly version: string;
  /** Takes the messages of ours and asks for the same of theirs. */
  readonly sender: BatchSender;
  stop(): Promise<void>;
}

/** @param topicsEach channels that one client may hear */
export async function startOtherServer(path: string, topicsEach: number): Promise<OtherServer> {
  const folder = mkdtempSync(join(tmpdir(), 'pushcluster-other-'));
  const port = await freePort();
  const key = randomBytes(16).toString('hex');
  const config = {
    http_server: { address: '127.0.0.1', port },
    http_api: { key },
    client: { allow_anonymous_connect_without_token: true, channel_limit: topicsEach + 1, queue_max_size: 64 << 20 },
    channel: { without_namespace: { allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true } },
  };
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  const version = spawnSync(path, ['version'], { encoding: 'utf8' }).stdout?.trim() ?? '';
  const { process } = await startProcess(path, ['--config', join(folder, 'config.json')], {
    isReady: (line) => line.includes('serving websocket'),
  });
  return {
    pid: process.pid,
    port,
    version,
    sender: openSender(port, key),
    async stop() {
      await process.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function openSender(port: number, key: string): BatchSender {
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  return {
    close: () => agent.destroy(),
    send: (messages) =>
      new Promise((resolve, reject) => {
        const commands = messages.map((text) => {
          const { target, body } = JSON.parse(text) as { target: { topic: string }; body: unknown };
          return { publish: { channel: target.topic, data: body } };
        });
        const bytes = Buffer.from(JSON.stringify({ commands, parallel: false }));
        const headers = { 'x-api-key': key, 'content-type': 'application/json', 'content-length': bytes.length };
        const asked = request(
          { port, host: '127.0.0.1', path: '/api/batch', agent, method: 'POST', headers },
          (answer) => {
            let text = '';
            answer.on('data', (chunk: Buffer) => (text += chunk.toString()));
            answer.on('error', reject);
            answer.on('end', () => {
              const failed = text.match(/"error"/g)?.length ?? 0;
              if (answer.statusCode !== 200) reject(new Error(`${answer.statusCode} ${text.slice(0, 300)}`));
              else
                resolve({
                  accepted: messages.length - failed,
                  refused: failed,
                  problem: failed > 0 ? text.slice(0, 300) : null,
                });
            });
          },
        );
        asked.on('error', reject);
        asked.end(bytes);
      }),
  };
}
