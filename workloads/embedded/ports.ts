// Asks for the ports of `npm start` before anything is opened, so that one that is taken is a sentence with a remedy, not a role that
// starts again and again. main.ts calls it; embedded.ts gives the ports out.
import { createServer } from 'node:net';

/** A port is taken. */
export class PortTakenError extends Error {
  readonly code = 'port-taken';
}

/** Base port: router at +1, registry at +2, gateways from +10; 0: nothing to ask for. */
export async function assertPortsFree(base: number, gateways: number): Promise<void> {
  if (base === 0) return;
  const wanted = [base + 1, base + 2, ...Array.from({ length: gateways }, (_, ordinal) => base + 10 + ordinal)];
  for (const port of wanted) {
    if (await isFree(port)) continue;
    throw new PortTakenError(
      `port ${port} is taken, perhaps by another npm start. Remedy: --port with another base (now ${base}), or --port 0 for free ones.`,
    );
  }
}

function isFree(port: number): Promise<boolean> {
  const { promise, resolve, reject } = Promise.withResolvers<boolean>();
  const server = createServer();
  server.once('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EADDRINUSE') resolve(false);
    else reject(error);
  });
  server.listen({ port, host: '127.0.0.1' }, () => server.close(() => resolve(true)));
  return promise;
}
