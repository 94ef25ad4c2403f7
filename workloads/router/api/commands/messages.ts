// Commands about one message: what it is and what became of it, its deliveries page by page, taking it back, its trace.
import { parseDeviceId, parseMessageId } from '../../../protocol/ids.ts';
import type { Message } from '../../../store/port.ts';
import { cancelMessage } from '../../results/cancel.ts';
import type { CancelOptions } from '../../results/cancel.ts';
import type { CommandTable } from '../commands.ts';
import { Input } from '../input.ts';
import type { Result, ResultCounts, Results } from '../../results/results.ts';
import { traceMessage } from '../../results/trace.ts';
import type { TraceOptions } from '../../results/trace.ts';
import { CURSOR_CHARS_MAX, PAGE, isoOf } from './answers.ts';

export interface MessagesDeps {
  readonly results: Results;
  readonly cancel: CancelOptions;
  readonly trace: TraceOptions;
}

export function messageCommands(deps: MessagesDeps): CommandTable {
  return {
    async message({ app, input }) {
      const id = new Input(input, ['id']).name('id', parseMessageId);
      const row = await deps.results.message(app.name, id);
      return { status: 200, body: describeMessage(row, await deps.results.counts(row)) };
    },
    async deliveries({ app, input }) {
      const fields = new Input(input, ['id', 'cursor', 'limit']);
      const id = fields.name('id', parseMessageId);
      const page = { cursor: fields.optionalText('cursor', CURSOR_CHARS_MAX), limit: fields.whole('limit', PAGE) };
      const row = await deps.results.message(app.name, id);
      const { results, next } = await deps.results.page(row, page);
      return { status: 200, body: { id, deliveries: results.map((result) => describeResult(row, result)), next } };
    },
    async cancel({ app, input }) {
      const id = new Input(input, ['id']).name('id', parseMessageId);
      const cancelled = await cancelMessage(deps.cancel, app.name, id);
      return { status: cancelled.cancelled === null ? 202 : 200, body: cancelled };
    },
    async 'message-trace'({ app, input }) {
      const fields = new Input(input, ['id', 'device']);
      const id = fields.name('id', parseMessageId);
      const device = fields.optionalName('device', parseDeviceId);
      const trace = await traceMessage(deps.trace, app.name, { id, device });
      return { status: 200, body: { id, ...describeTrace(trace) } };
    },
  };
}

function describeMessage(row: Message, deliveries: ResultCounts | null) {
  const { target } = row;
  const { kind, ...named } = target;
  return {
    id: row.id,
    target: kind === 'devices' || kind === 'accounts' ? { [kind]: row.recipients } : named,
    lane: row.lane,
    state: row.state,
    acceptedAt: isoOf(row.acceptedAtMs),
    dueAt: isoOf(row.dueAtMs),
    expiresAt: isoOf(row.expiresAtMs),
    recipients: row.recipients,
    ...(row.chunks === 0 ? {} : { expansion: { chunks: row.chunks, done: row.chunksDone } }),
    deliveries,
  };
}

function describeResult(row: Message, { device, account, state, delivery }: Result) {
  const ended = delivery !== null && delivery.state !== 'waiting' ? delivery : null;
  return {
    device,
    ...(account === undefined ? {} : { account }),
    state,
    at: ended === null ? null : isoOf(ended.atMs),
    gateway: ended?.gateway ?? null,
    position: delivery === null ? null : { stream: `@${row.lane}`, epoch: delivery.epoch, offset: delivery.offset },
  };
}

/** Times as ISO 8601. */
export function describeTrace(trace: Awaited<ReturnType<typeof traceMessage>>) {
  return { events: trace.events.map(({ atMs, ...event }) => ({ at: isoOf(atMs), ...event })), silent: trace.silent };
}
