// A drain: sessions asked to leave, at a rate, in small slices, with a ticket and where to go; who stays is closed at the deadline. The
// operator starts it by PUT /v1/drain, SIGTERM starts one of its own (stop.ts). Nothing here waits for a client to go.
import type { DrainRequest, DrainState } from '../../protocol/admin.ts';
import type { CloseName } from '../../protocol/codes.ts';
import type { GoawayFrame } from '../../protocol/frames.ts';
import type { Connection } from '../connect/connection.ts';
import type { Gateway } from '../gateway.ts';
import type { Session } from '../connect/session.ts';
import { makeTicket } from '../connect/tickets.ts';

/** Slices of a drain: at 200 connections a second each asks ten. */
const SLICE_MS = 50;

export interface DrainOrder extends Omit<DrainRequest, 'reason'> {
  readonly reason: GoawayFrame['reason'];
}

export class Drain {
  readonly #gateway: Gateway;
  #order: DrainOrder | null = null;
  #startedAtMs = 0;
  #lastMs = 0;
  #asked = 0;
  /** Connections that may be asked by now. */
  #budget = 0;
  #asking = false;
  #cancel: (() => void) | null = null;

  constructor(gateway: Gateway) {
    this.#gateway = gateway;
  }

  /** True while everyone is to leave: nobody new is taken then. */
  get refusesClients(): boolean {
    return this.#order !== null && this.#order.count === undefined;
  }
  get order(): DrainOrder | null {
    return this.#order;
  }

  /** Starts a drain, or changes the one of this generation; the same order again changes nothing. */
  put(order: DrainOrder): void {
    const before = this.#order;
    this.#order = order;
    if (before?.generation === order.generation) return;
    const nowMs = this.#gateway.clock.nowMs();
    this.#startedAtMs = nowMs;
    this.#lastMs = nowMs;
    this.#asked = 0;
    this.#budget = 1; // the first goes at once, however low the rate
    for (const connection of this.#gateway.directory.connections) connection.asked = false;
    this.#cancel ??= this.#gateway.clock.every(SLICE_MS, () => this.#slice());
    this.#gateway.log.info({ generation: order.generation, reason: order.reason, rate: order.rate }, 'drain begun');
    this.#slice();
  }

  /** Clients are taken again. Those that were asked go nevertheless: they have their ticket. */
  cancel(): void {
    if (this.#order === null) return;
    this.#gateway.log.info({ generation: this.#order.generation, asked: this.#asked }, 'drain cancelled');
    this.stop();
  }
  stop(): void {
    this.#cancel?.();
    this.#cancel = null;
    this.#order = null;
  }

  state(): DrainState | null {
    const order = this.#order;
    if (order === null) return null;
    const left = this.#gateway.directory.connections.length;
    const toAsk = Math.max(0, Math.min(this.#gateway.directory.sessions, (order.count ?? Infinity) - this.#asked));
    return {
      generation: order.generation,
      startedAtMs: this.#startedAtMs,
      asked: this.#asked,
      left,
      ratePerSecond: order.rate,
      deadlineMs: order.deadlineMs,
      etaMs: left === 0 ? null : Math.min(Math.ceil((toAsk / order.rate) * 1000), this.#untilDeadlineMs(order)),
    };
  }

  #untilDeadlineMs(order: DrainOrder): number {
    return Math.max(0, order.deadlineMs - this.#gateway.clock.nowMs());
  }

  #slice(): void {
    const order = this.#order;
    if (order === null) return;
    const nowMs = this.#gateway.clock.nowMs();
    this.#budget = Math.min(this.#budget + ((nowMs - this.#lastMs) * order.rate) / 1000, Math.max(1, order.rate));
    this.#lastMs = nowMs;
    if (nowMs >= order.deadlineMs) this.#closeRest(order);
    else if (!this.#asking) void this.#ask(order, this.#next(order));
  }

  /** The next ones to be asked, as many as the budget has. */
  #next(order: DrainOrder): Connection[] {
    const room = Math.min(Math.floor(this.#budget), (order.count ?? Number.POSITIVE_INFINITY) - this.#asked);
    const next: Connection[] = [];
    const { connections } = this.#gateway.directory;
    for (let i = connections.length - 1; i >= 0 && next.length < room; i--) {
      const connection = connections[i]!;
      if (connection.phase === 'live' && !connection.asked) next.push(connection);
    }
    return next;
  }

  /** What the clients acked reaches the store first, so that the next gateway starts from there (R5). */
  async #ask(order: DrainOrder, next: readonly Connection[]): Promise<void> {
    if (next.length === 0) return;
    this.#asking = true;
    this.#budget -= next.length;
    this.#asked += next.length;
    for (const connection of next) connection.asked = true;
    const sessions: Session[] = next.map((connection) => connection.session!);
    await Promise.all([this.#gateway.cursorFlush.flushSessions(sessions), this.#gateway.settles.flushSessions(next)]);
    this.#asking = false;
    for (const connection of next) if (connection.phase === 'live') this.#goaway(order, connection);
  }

  #goaway(order: DrainOrder, connection: Connection): void {
    connection.send({
      type: 'goaway',
      reason: order.reason,
      ticket: makeTicket(this.#gateway, connection),
      targets: this.#gateway.targets.forLeaving(order.targets),
      afterMs: 0, // the rate has spread them already
      deadlineMs: this.#untilDeadlineMs(order),
    });
  }

  #closeRest(order: DrainOrder): void {
    const name: CloseName = order.reason === 'stopping' ? 'stopping' : 'goaway';
    for (const connection of this.#gateway.directory.connections)
      if (order.count === undefined || connection.asked) connection.close(name);
  }
}
