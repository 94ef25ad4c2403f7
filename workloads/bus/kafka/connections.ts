// kafkajs ends and unrefs a connection's socket each time that its broker was tried in vain, also a socket that is long gone; Node then
// keeps a listener for each and warns of a leak (MaxListenersExceededWarning) after some seconds of a broker's absence. What is gone is
// left alone.
import { createRequire } from 'node:module';
import type { Socket } from 'node:net';

/** As far as it matters here. */
interface Connection {
  socket: Socket | null | undefined;
  disconnect: (this: Connection) => Promise<boolean>;
}

/** A disconnect that does not see a socket that was destroyed. Exported for its test. */
export function withoutGone(disconnect: Connection['disconnect']): Connection['disconnect'] {
  return async function (this: Connection): Promise<boolean> {
    if (this.socket?.destroyed === true) this.socket = null;
    return await disconnect.call(this);
  };
}

let isDone = false;

/** Makes kafkajs's connections so; calling it again changes nothing. */
export function leaveGoneSockets(): void {
  if (isDone) return;
  isDone = true;
  const { prototype } = createRequire(import.meta.url)('kafkajs/src/network/connection') as { prototype: Connection };
  prototype.disconnect = withoutGone(prototype.disconnect);
}
