// For tests and benches: programs that cannot pick a port by themselves.
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';

/** A port of `host` that was free a moment ago. */
export function freePort(host = '127.0.0.1'): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, host, () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

/** Below what kernels give to outgoing connections (Linux from 32768 on, others from 49152). */
const LASTING_MIN = 12_000;
const LASTING_BLOCK = 16;
const LASTING_BLOCKS = 1250;
let lasting = 0;

/**
 * A port of `host` for what stops and starts again on it, or starts long after: no outgoing connection takes it meanwhile. Each process
 * looks in a block of its own first, so that tests that run side by side do not meet.
 */
export async function lastingPort(host = '127.0.0.1'): Promise<number> {
  for (let tries = 0; tries < LASTING_BLOCKS; tries++) {
    const at = ((process.pid % LASTING_BLOCKS) * LASTING_BLOCK + lasting++) % (LASTING_BLOCKS * LASTING_BLOCK);
    if (await isFree(host, LASTING_MIN + at)) return LASTING_MIN + at;
  }
  throw new Error(`expected a free port from ${LASTING_MIN} on, got none in ${LASTING_BLOCKS} tries`);
}

function isFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, host, () => server.close(() => resolve(true)));
  });
}
