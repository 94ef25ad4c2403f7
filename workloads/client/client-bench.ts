// A client against a registry and gateways that do what a test says: what tests of the whole SDK share.
import assert from 'node:assert/strict';
import WebSocketOfWs from 'ws';
import type { ClientFrame, MessageFrame, StreamState, WelcomeFrame } from '../protocol/frames.ts';
import type { Epoch, GatewayName, MessageId } from '../protocol/ids.ts';
import type { StreamName } from '../protocol/streams.ts';
import { openClient } from './client.ts';
import type { Client, ClientOptions } from './client.ts';
import type { Gap } from './inbox.ts';
import { startScriptedGateway, startScriptedRegistry } from './scripted-server.ts';
import type { GatewaySide, ScriptedGateway, ScriptedRegistry } from './scripted-server.ts';
import type { ClientState } from './state.ts';

export const E1 = 'e1' as Epoch;
export const NORMAL: StreamName = '@normal';

export class Bench {
  registry!: ScriptedRegistry;
  gateways: ScriptedGateway[] = [];
  clients: Client[] = [];
  handed: unknown[] = [];
  states: ClientState[] = [];
  gaps: Gap[] = [];
  errors: unknown[] = [];

  static async start(gateways = 2): Promise<Bench> {
    const bench = new Bench();
    for (let i = 0; i < gateways; i++) bench.gateways.push(await startScriptedGateway(`gw-${i}`));
    bench.registry = await startScriptedRegistry(() => ({
      status: 200,
      body: {
        token: 'token-1',
        expiresAt: new Date(Date.now() + 3_600_000).toISOString(),
        expiresInMs: 3_600_000,
        gateways: bench.gateways.map(({ name, url }) => ({ name, url })),
        heartbeatIntervalMs: 25_000,
        retry: { baseMs: 5, maxMs: 20 },
      },
    }));
    for (const gateway of bench.gateways) gateway.onFrame = (side, frame) => bench.serve(side, frame);
    return bench;
  }
  /** What gateways do unless a test says otherwise: welcome, subscribed, taken, pong. */
  serve(side: GatewaySide, frame: ClientFrame): void {
    if (frame.type === 'hello') side.send(this.welcome(side.gateway, (frame.positions ?? []).map(continued)));
    if (frame.type === 'subscribe')
      side.send({ type: 'subscribed', id: frame.id, streams: frame.topics.map((t) => aState(t.offset ?? 0, t.topic)) });
    if (frame.type === 'unsubscribe') side.send({ type: 'unsubscribed', id: frame.id });
    if (frame.type === 'upstream') side.send({ type: 'taken', id: frame.id });
    if (frame.type === 'send') side.send({ type: 'sent', id: frame.id, messageId: `id-of-${frame.key}` as MessageId });
    if (frame.type === 'group') side.send({ type: 'grouped', id: frame.id, group: frame.group });
    if (frame.type === 'ping') side.send({ type: 'pong' });
  }
  welcome(gateway: string, streams: readonly StreamState[]): WelcomeFrame {
    const targets = this.gateways.filter(({ name }) => name !== gateway).map(({ url }) => url);
    const base = { type: 'welcome', version: 1, generation: 1, heartbeatIntervalMs: 25_000 } as const;
    return { ...base, gateway: gateway as GatewayName, ticket: `ticket-of-${gateway}`, targets, streams };
  }
  async open(more: Partial<ClientOptions> = {}): Promise<Client> {
    const client = await openClient({
      registryUrl: this.registry.url,
      app: 'shop',
      account: 'ada',
      device: 'phone-1',
      credential: () => 'signed-by-the-app',
      onMessage: (message) => void this.handed.push(message.body),
      onState: (state) => void this.states.push(state),
      onGap: (gap) => void this.gaps.push(gap),
      onError: (error) => void this.errors.push(error),
      WebSocket: WebSocketOfWs,
      seed: 7,
      ...more,
    });
    this.clients.push(client);
    return client;
  }
  /** Frames of a kind that any gateway got, in the order of gateways and connections. */
  sent<T extends ClientFrame['type']>(type: T): Extract<ClientFrame, { type: T }>[] {
    const frames = this.gateways.flatMap(({ connections }) => connections.flatMap((side) => side.frames));
    return frames.filter((frame): frame is Extract<ClientFrame, { type: T }> => frame.type === type);
  }
  side(gateway: number, connection = -1): GatewaySide {
    return this.gateways[gateway]!.connections.at(connection)!;
  }
  async stop(): Promise<void> {
    for (const client of this.clients) await client.close();
    for (const gateway of this.gateways) await gateway.stop();
    await this.registry.stop();
  }
}

export function aState(offset: number, stream: StreamName = NORMAL): StreamState {
  return { stream, epoch: E1, offset, recovered: true };
}
export function continued(position: { stream: StreamName; epoch: Epoch; offset: number }): StreamState {
  return { ...position, recovered: true };
}
export function aMessage(offset: number, stream: StreamName = NORMAL): MessageFrame {
  return { type: 'message', stream, id: `m-${stream}-${offset}` as MessageId, sentAtMs: 0, body: offset, offset };
}

/** Waits until something observable is so, for 10 s at most. */
export async function until(what: () => boolean): Promise<void> {
  const endMs = performance.now() + 10_000;
  while (!what()) {
    assert.ok(performance.now() < endMs, `not so within 10 s: ${what.toString()}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Waits until the gateway has the ack of `offset` on any connection. */
export function acked(gateway: ScriptedGateway, offset: number): Promise<void> {
  const isIt = (frame: ClientFrame): boolean =>
    frame.type === 'ack' && frame.positions.some((position) => position.offset === offset);
  return until(() => gateway.connections.some(({ frames }) => frames.some(isIt)));
}
