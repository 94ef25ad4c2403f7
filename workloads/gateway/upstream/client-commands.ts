// Messages from client to client, and groups: asked of a router over the link that it keeps here, since only routers know what an app allows.
// One router for each device while it lives, so that rates hold; another one when its link falls, since both kinds of frame may be
// asked twice (a send by its key). frames/send.ts and frames/group.ts hand them over, link-frames.ts the replies; role.ts ticks.
import { ERRORS } from '../../protocol/codes.ts';
import type { ErrorCode } from '../../protocol/codes.ts';
import type { GroupFrame, GroupedFrame, SendFrame } from '../../protocol/frames.ts';
import type { MessageId } from '../../protocol/ids.ts';
import type { Reply } from '../../protocol/link.ts';
import type { LinkPeer } from '../../link/server.ts';
import { hashText } from '../../runtime/ring.ts';
import type { Connection } from '../connect/connection.ts';
import type { Gateway } from '../gateway.ts';

/** Commands of one connection that may be under way. */
export const CONNECTION_COMMANDS_MAX = 16;
/** Of all: each at most 64 KiB, nearly always some hundred bytes. */
export const COMMANDS_MAX = 10_000;
/** A router answers after one or two trips to the store, each of at most 2 s. */
export const COMMAND_TIMEOUT_MS = 5000;
const RETRY_AFTER_MS = 1000;

interface Asked {
  readonly connection: Connection;
  readonly frame: SendFrame | GroupFrame;
  /** Names of routers that had it. */
  readonly tried: readonly string[];
  readonly peer: LinkPeer;
  readonly atMs: number;
}

export class ClientCommands {
  readonly #gateway: Gateway;
  readonly #asked = new Map<number, Asked>();
  readonly #underWay = new Map<Connection, number>();
  #seq = 0;

  constructor(gateway: Gateway) {
    this.#gateway = gateway;
  }

  /** Commands under way. */
  get waiting(): number {
    return this.#asked.size;
  }

  ask(connection: Connection, frame: SendFrame | GroupFrame): void {
    const underWay = this.#underWay.get(connection) ?? 0;
    if (underWay >= CONNECTION_COMMANDS_MAX) {
      const message = `expected at most ${CONNECTION_COMMANDS_MAX} commands under way`;
      return refuse(connection, frame.id, { code: 'rate-limited', message, retryAfterMs: RETRY_AFTER_MS });
    }
    if (this.#asked.size >= COMMANDS_MAX) return this.#putOff(connection, frame.id, 'too many commands are under way');
    this.#underWay.set(connection, underWay + 1);
    this.#send(connection, frame, []);
  }

  /** A router answers. */
  take(reply: Reply): void {
    const asked = this.#end(reply.seq);
    if (asked === null) return; // too late
    const { connection, frame } = asked;
    const body = parseBody(reply.body);
    if (reply.status >= 300 || body['error'] !== undefined) return refuse(connection, frame.id, errorOf(body));
    if (frame.type === 'send') connection.send({ type: 'sent', id: frame.id, messageId: body['id'] as MessageId });
    else connection.send(groupedOf(frame, body));
  }

  /** A link fell: what was asked over it is asked of another router. */
  forget(peer: LinkPeer): void {
    for (const [seq, asked] of this.#asked) {
      if (asked.peer !== peer) continue;
      this.#asked.delete(seq);
      this.#send(asked.connection, asked.frame, asked.tried);
    }
  }

  /** Gives up on what was not answered in time. */
  tick(): void {
    const nowMs = this.#gateway.clock.monotonicMs();
    for (const [seq, { connection, frame, atMs }] of this.#asked) {
      if (nowMs - atMs < COMMAND_TIMEOUT_MS) return; // in the order they were asked
      this.#end(seq);
      this.#putOff(connection, frame.id, 'no router answered in time, the outcome is unknown');
    }
  }

  #send(connection: Connection, frame: SendFrame | GroupFrame, tried: readonly string[]): void {
    if (connection.phase !== 'live') return this.#release(connection);
    const { app, account, device } = connection.session!.permission;
    const body = Buffer.from(JSON.stringify(frame));
    for (const peer of this.#routersOf(device)) {
      if (tried.includes(peer.name)) continue;
      const seq = ++this.#seq;
      if (peer.send({ kind: 'command', seq, op: frame.type, app, account, device, body }) !== 'queued') continue;
      const atMs = this.#gateway.clock.monotonicMs();
      this.#asked.set(seq, { connection, frame, tried: [...tried, peer.name], peer, atMs });
      this.#gateway.counts.commands++;
      return;
    }
    this.#release(connection);
    this.#putOff(connection, frame.id, 'no router is linked');
  }

  /** Highest hash first: others coming and going change nothing for the device. */
  #routersOf(device: string): LinkPeer[] {
    const weigh = ({ name }: LinkPeer): number => hashText(`${device} ${name}`);
    return this.#gateway.state.peers('router').toSorted((a, b) => weigh(b) - weigh(a));
  }

  #end(seq: number): Asked | null {
    const asked = this.#asked.get(seq);
    if (asked === undefined) return null;
    this.#asked.delete(seq);
    this.#release(asked.connection);
    return asked;
  }
  #release(connection: Connection): void {
    const left = (this.#underWay.get(connection) ?? 1) - 1;
    if (left === 0) this.#underWay.delete(connection);
    else this.#underWay.set(connection, left);
  }

  #putOff(connection: Connection, id: number, message: string): void {
    this.#gateway.counts.commandsPutOff++;
    const retryAfterMs = Math.ceil(RETRY_AFTER_MS * (1 + this.#gateway.random()));
    refuse(connection, id, { code: 'overloaded', message, retryAfterMs });
  }
}

interface Refusal {
  readonly code: ErrorCode;
  readonly message: string;
  readonly retryAfterMs?: number;
}

function refuse(connection: Connection, id: number, refusal: Refusal): void {
  connection.send({ type: 'error', id, ...refusal });
}

function parseBody(bytes: Uint8Array): Record<string, unknown> {
  try {
    return JSON.parse(Buffer.from(bytes).toString()) as Record<string, unknown>;
  } catch {
    return { error: { code: 'internal', message: 'the answer was not readable' } };
  }
}

function errorOf(body: Record<string, unknown>): Refusal {
  const { code, message, retryAfterMs } = (body['error'] ?? {}) as Record<string, unknown>;
  return {
    code: typeof code === 'string' && Object.hasOwn(ERRORS, code) ? (code as ErrorCode) : 'internal',
    message: typeof message === 'string' ? message : 'an error of the server',
    ...(typeof retryAfterMs === 'number' ? { retryAfterMs } : {}),
  };
}

function groupedOf({ id, group }: GroupFrame, body: Record<string, unknown>): GroupedFrame {
  const { members, count, next } = body as Pick<GroupedFrame, 'members' | 'count' | 'next'>;
  const page = members === undefined ? {} : { members, ...(count === undefined ? {} : { count }), next: next ?? null };
  return { type: 'grouped', id, group, ...page };
}
