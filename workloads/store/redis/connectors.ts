// How ioredis gets its sockets where they are TLS: each with what trust.ts has read last. Its own connectors would do, but for two
// things: they keep the certificates of the start, and they lose what a Sentinel's or a learning connection's socket says, so that a
// wrong CA would be called "Connection is closed." connectionOptions of single.ts puts them in.
import { connect } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { AbstractConnector, SentinelConnector } from 'ioredis';
import type { Redis, RedisOptions, SentinelAddress, SentinelConnectionOptions } from 'ioredis';
import { explainProblem } from './connect-problem.ts';
import type { Trust } from './trust.ts';

type Connector = NonNullable<RedisOptions['Connector']>;
type Endpoint = Partial<SentinelAddress>;
type Resolve = (endpoint: Endpoint) => Promise<unknown>;
type ConnectToSentinel = (endpoint: Endpoint, more?: RedisOptions) => Redis;

/** To a Redis at its address. @param note told what goes wrong with any connection, in our words */
export function tlsConnector(trust: Trust, note: (error: Error) => void): Connector {
  return class extends AbstractConnector {
    readonly #host: string;
    readonly #port: number;

    constructor(options: unknown) {
      const { host = 'localhost', port = 6379, disconnectTimeout = 2000 } = options as RedisOptions;
      super(disconnectTimeout);
      this.#host = host;
      this.#port = port;
    }

    override connect(): Promise<TLSSocket> {
      this.connecting = true;
      const socket = connect({ host: this.#host, port: this.#port, ...trust.options() });
      this.stream = socket;
      socket.on('error', (error) => {
        this.firstError = error;
        note(explainProblem(error, `${this.#host}:${this.#port}`));
      });
      return Promise.resolve(socket);
    }
  };
}

/** To Sentinels, and to the master that they name. */
export function tlsSentinelConnector(trust: Trust): Connector {
  return class extends SentinelConnector {
    constructor(options: unknown) {
      super(options as SentinelConnectionOptions);
      // Private there, and the only place where the error of a Sentinel's socket can be had. ioredis is pinned; redis-tls.test.ts tells.
      const resolve = (this['resolve'] as Resolve).bind(this);
      const connectToSentinel = (this['connectToSentinel'] as ConnectToSentinel).bind(this);
      let problem: Error | null = null;
      this['connectToSentinel'] = (endpoint: Endpoint, more?: RedisOptions): Redis => {
        const client = connectToSentinel(endpoint, { ...more, Connector: tlsConnector(trust, () => undefined) });
        client.on('error', (error: Error) => {
          // With `more` it is one of the failover detector's, which stays and has nothing to do with what is asked here.
          if (more === undefined) problem = explainProblem(error, `${endpoint.host}:${endpoint.port}`);
        });
        return client;
      };
      this['resolve'] = async (endpoint: Endpoint): Promise<unknown> => {
        problem = null;
        this.options = { ...this.options, tls: trust.options(), sentinelTLS: trust.options() };
        try {
          return await resolve(endpoint);
        } catch (error) {
          throw problem ?? error;
        }
      };
    }
  };
}
