// Pushes in batches over one kept-alive connection each: POST /v1/messages {messages: […]}. fanout.ts and unicast.ts publish with it; the
// texts of batches are built by them, so that nothing is done twice.
import { Agent, request } from 'node:http';

export interface BatchOutcome {
  readonly accepted: number;
  readonly refused: number;
  /** The first refusal, for messages. */
  readonly problem: string | null;
}
export interface BatchSender {
  send(messages: readonly string[]): Promise<BatchOutcome>;
  close(): void;
}

/** @param messages of `send`: each a message's JSON text */
export function openBatchSender(options: { url: string; apiKey: string; connections: number }): BatchSender {
  const agent = new Agent({ keepAlive: true, maxSockets: options.connections });
  const url = new URL('/v1/messages', options.url);
  return {
    send: (messages) =>
      new Promise((resolve, reject) => {
        const bytes = Buffer.from(`{"messages":[${messages.join(',')}]}`);
        const headers = {
          authorization: `Bearer ${options.apiKey}`,
          'content-type': 'application/json',
          'content-length': bytes.length,
        };
        const asked = request(url, { agent, method: 'POST', headers }, (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', reject);
          response.on('end', () => {
            const text = Buffer.concat(chunks).toString();
            if (response.statusCode === 202 || response.statusCode === 207) resolve(outcomeOf(text));
            else reject(new Error(`${response.statusCode} ${text.slice(0, 300)}`));
          });
        });
        asked.on('error', reject);
        asked.end(bytes);
      }),
    close: () => agent.destroy(),
  };
}

function outcomeOf(text: string): BatchOutcome {
  const { accepted, refused, results } = JSON.parse(text) as {
    accepted: number;
    refused: number;
    results: readonly { error?: unknown }[];
  };
  const problem = results.find(({ error }) => error !== undefined)?.error ?? null;
  return { accepted, refused, problem: problem === null ? null : JSON.stringify(problem) };
}
