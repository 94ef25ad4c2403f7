// One Redis: at an address, or the master that Sentinels name. Reconnects by itself, with backoff; never re-sends.
import { Redis } from 'ioredis';
import type { RedisAddress } from './address.ts';
import { tlsConnector, tlsSentinelConnector } from './connectors.ts';
import { RedisNode } from './node.ts';
import type { NodeOptions } from './node.ts';
import type { Topology } from './topology.ts';
import type { Trust } from './trust.ts';
import { StoreUnavailableError } from '../port.ts';

export type Surroundings = Pick<NodeOptions, 'scripts' | 'timeoutMs' | 'itemsMax' | 'bytesMax' | 'clock' | 'log'> & {
  /** Empty: the default user. */
  readonly username: string;
  /** Empty: none. */
  readonly password: string;
  /** Null: plain TCP. */
  readonly trust: Trust | null;
};

/** Options of every connection: what ioredis would do on its own (queue, re-send, retry) is off (R2). */
export function connectionOptions(surroundings: Surroundings) {
  return {
    autoResendUnfulfilledCommands: false,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResubscribe: false,
    connectTimeout: surroundings.timeoutMs,
    disableClientInfo: true,
    ...(surroundings.username === '' ? {} : { username: surroundings.username }),
    ...(surroundings.password === '' ? {} : { password: surroundings.password }),
    // The connector asks for the trust of the hour; this one says that it is TLS.
    ...(surroundings.trust === null ? {} : { tls: surroundings.trust.options() }),
  };
}

/** 50, 100, 200 … 2000 ms, and up to a third of it more. */
export function backoffMs(times: number): number {
  const base = Math.min(2000, 50 * 2 ** Math.min(times - 1, 10));
  return base + Math.floor((Math.random() * base) / 3);
}

/** Starts connecting. */
export function openSingle(address: Exclude<RedisAddress, { kind: 'cluster' }>, surroundings: Surroundings): Topology {
  const common = { ...connectionOptions(surroundings), retryStrategy: backoffMs };
  const { trust } = surroundings;
  const redis =
    address.kind === 'single'
      ? new Redis({
          ...common,
          ...(trust === null ? {} : { Connector: tlsConnector(trust, () => undefined) }),
          host: address.node.host,
          port: address.node.port,
          db: address.db,
        })
      : new Redis({
          ...common,
          ...(trust === null
            ? {}
            : {
                Connector: tlsSentinelConnector(trust),
                enableTLSForSentinelMode: true,
                sentinelTLS: trust.options(),
              }),
          sentinels: address.sentinels.map(({ host, port }) => ({ host, port })),
          name: address.master,
          sentinelRetryStrategy: backoffMs,
          sentinelCommandTimeout: surroundings.timeoutMs,
          failoverDetector: true,
        });
  const name = address.kind === 'single' ? `${address.node.host}:${address.node.port}` : `sentinel/${address.master}`;
  const node = new RedisNode(redis, {
    ...surroundings,
    name,
    clustered: false,
    homeBucket: () => 0,
    onMoved: refuseMove,
  });
  let closed = false;
  // ioredis gives up for good when it is told of a failover while it asks the Sentinels for the master. Nobody else would begin again.
  let ends = 0;
  redis.on('ready', () => (ends = 0));
  redis.on('end', () => {
    if (closed) return;
    surroundings.clock.after(backoffMs(++ends), () => {
      if (!closed) redis.connect().catch(() => undefined);
    });
  });
  return {
    nodeFor: () => node,
    nodes: () => [node],
    settled: (timeoutMs) => node.settled(timeoutMs),
    trouble: () =>
      closed ? 'closed' : node.learned === null ? (node.lastError?.message ?? `${name} is not connected`) : null,
    close() {
      closed = true;
      node.close();
    },
  };
}

/** MOVED comes from a Cluster only. */
const refuseMove: NodeOptions['onMoved'] = (items) => {
  for (const item of items)
    item.trip.fail(
      item.index,
      new StoreUnavailableError('the store is a Cluster: expected an address redis+cluster://… or rediss+cluster://…'),
    );
};
