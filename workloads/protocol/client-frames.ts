// Frames of a client from what JSON.parse gave: one parser for each kind, each taking what it knows and nothing else. json-codec.ts picks
// the parser by the frame's type.
import { bodyAt, boundedList, countAt, epochAt, numberAt, objectAt, oneOfAt, textAt } from './forms.ts';
import { InvalidFrameError } from './forms.ts';
import type { Row } from './forms.ts';
import { parseTopicFilter } from './filter-form.ts';
import type {
  AckFrame,
  ClientFrame,
  GroupFrame,
  HelloFrame,
  NackFrame,
  SendFrame,
  TopicRequest,
  UpstreamFrame,
} from './frames.ts';
import { parseAccountId, parseDeviceId, parseGroupName, parseMessageId, parseTopicName } from './ids.ts';
import { LIMITS } from './limits.ts';
import { LANES, laneOf, parseStreamName } from './streams.ts';
import type { Position, StreamName } from './streams.ts';

const AGENT_CHARS_MAX = 128;
const KIND_CHARS_MAX = 64;
const KEY_CHARS_MAX = 128;

/** The parser of each kind. Throws InvalidFrameError or InvalidNameError; both name the field. */
export const PARSERS: { readonly [T in ClientFrame['type']]: (row: Row) => Extract<ClientFrame, { type: T }> } = {
  hello: parseHello,
  ack: parseAck,
  nack: parseNack,
  pull: (row) => ({
    type: 'pull',
    id: countAt(row['id'], 'id'),
    stream: parseStreamName(row['stream']),
    max: numberAt(row['max'], 'max', [1, LIMITS.pullMessagesMax]),
  }),
  fetch: (row) => ({
    type: 'fetch',
    id: countAt(row['id'], 'id'),
    stream: parseStreamName(row['stream']),
    offset: countAt(row['offset'], 'offset'),
    ...optionalEpoch(row, 'epoch'),
  }),
  subscribe: (row) => ({ type: 'subscribe', id: countAt(row['id'], 'id'), topics: parseTopicRequests(row['topics']) }),
  unsubscribe: (row) => ({
    type: 'unsubscribe',
    id: countAt(row['id'], 'id'),
    topics: boundedList(row['topics'], 'topics').map((topic, i) => parseTopicName(topic, `topics[${i}]`)),
  }),
  upstream: parseUpstream,
  send: parseSend,
  group: parseGroup,
  ping: () => ({ type: 'ping' }),
  bye: () => ({ type: 'bye' }),
};

function parseHello(row: Row): HelloFrame {
  const { token, ticket, positions, agent, offline, lanes } = row;
  return {
    type: 'hello',
    version: countAt(row['version'], 'version'),
    ...(token === undefined ? {} : { token: textAt(token, 'token', LIMITS.credentialCharsMax) }),
    ...(ticket === undefined ? {} : { ticket: textAt(ticket, 'ticket', LIMITS.credentialCharsMax) }),
    ...(positions === undefined ? {} : { positions: boundedList(positions, 'positions').map(parsePosition) }),
    ...(agent === undefined ? {} : { agent: textAt(agent, 'agent', AGENT_CHARS_MAX) }),
    ...(offline === undefined ? {} : { offline: oneOfAt(offline, 'offline', ['push', 'pull']) }),
    ...(lanes === undefined
      ? {}
      : {
          lanes: boundedList(lanes, 'lanes', LANES.length).map((lane, i) => oneOfAt(lane, `lanes[${i}]`, LANES)),
        }),
  };
}

function parsePosition(value: unknown, i: number): Position {
  const at = `positions[${i}]`;
  const row = objectAt(value, at);
  return {
    stream: parseStreamName(row['stream'], `${at}.stream`),
    epoch: epochAt(row['epoch'], `${at}.epoch`),
    offset: countAt(row['offset'], `${at}.offset`),
  };
}

function parseAck(row: Row): AckFrame {
  const positions = boundedList(row['positions'], 'positions').map((value, i) => {
    const at = `positions[${i}]`;
    const entry = objectAt(value, at);
    const stream: StreamName = parseStreamName(entry['stream'], `${at}.stream`);
    return { stream, offset: countAt(entry['offset'], `${at}.offset`), ...optionalEpoch(entry, `${at}.epoch`) };
  });
  if (row['ids'] === undefined) return { type: 'ack', positions };
  const ids = boundedList(row['ids'], 'ids').map((value, i) => {
    const entry = objectAt(value, `ids[${i}]`);
    const stream = parseStreamName(entry['stream'], `ids[${i}].stream`);
    if (laneOf(stream) === null) throw new InvalidFrameError(`ids[${i}].stream: expected a lane, got a topic`);
    return { stream, id: parseMessageId(entry['id'], `ids[${i}].id`) };
  });
  return { type: 'ack', positions, ids };
}

function parseNack(row: Row): NackFrame {
  const { retryAfterMs, final } = row;
  return {
    type: 'nack',
    stream: parseStreamName(row['stream']),
    offset: countAt(row['offset'], 'offset'),
    ...optionalEpoch(row, 'epoch'),
    reason: textAt(row['reason'], 'reason', LIMITS.nackReasonCharsMax),
    ...(retryAfterMs === undefined
      ? {}
      : { retryAfterMs: numberAt(retryAfterMs, 'retryAfterMs', [0, LIMITS.nackRetryAfterMs]) }),
    ...(final === undefined ? {} : { final: oneOfAt(final, 'final', ['dead', 'person']) }),
  };
}

function parseTopicRequests(value: unknown): TopicRequest[] {
  return boundedList(value, 'topics').map((item, i) => {
    const at = `topics[${i}]`;
    const row = objectAt(item, at);
    const { filter } = row;
    const topic = parseTopicName(row['topic'], `${at}.topic`);
    const wanted =
      filter === undefined ? {} : { filter: filter === null ? null : parseTopicFilter(filter, `${at}.filter`) };
    if (row['epoch'] === undefined && row['offset'] === undefined) return { topic, ...wanted };
    const epoch = epochAt(row['epoch'], `${at}.epoch`);
    return { topic, epoch, offset: countAt(row['offset'], `${at}.offset`), ...wanted };
  });
}

function parseUpstream(row: Row): UpstreamFrame {
  const { order } = row;
  return {
    type: 'upstream',
    id: countAt(row['id'], 'id'),
    kind: textAt(row['kind'], 'kind', KIND_CHARS_MAX),
    key: textAt(row['key'], 'key', KEY_CHARS_MAX),
    ...(order === undefined ? {} : { order: textAt(order, 'order', KEY_CHARS_MAX) }),
    body: bodyAt(row['body']),
  };
}

function parseSend(row: Row): SendFrame {
  const { ttlMs } = row;
  return {
    type: 'send',
    id: countAt(row['id'], 'id'),
    key: textAt(row['key'], 'key', KEY_CHARS_MAX),
    to: parseRecipient(row['to']),
    body: bodyAt(row['body']),
    ...(ttlMs === undefined ? {} : { ttlMs: numberAt(ttlMs, 'ttlMs', [1, LIMITS.ttlMaxMs]) }),
  };
}

function parseRecipient(value: unknown): SendFrame['to'] {
  const { device, account, group } = objectAt(value, 'to');
  const given = [device, account, group].filter((name) => name !== undefined).length;
  if (given !== 1) throw new InvalidFrameError(`to: expected one of device, account, group, got ${given} of them`);
  if (device !== undefined) return { device: parseDeviceId(device, 'to.device') };
  if (account !== undefined) return { account: parseAccountId(account, 'to.account') };
  return { group: parseGroupName(group, 'to.group') };
}

function parseGroup(row: Row): GroupFrame {
  const { members, after } = row;
  return {
    type: 'group',
    id: countAt(row['id'], 'id'),
    op: oneOfAt(row['op'], 'op', ['create', 'join', 'leave', 'members', 'delete']),
    group: parseGroupName(row['group']),
    ...(members === undefined
      ? {}
      : { members: boundedList(members, 'members').map((name, i) => parseAccountId(name, `members[${i}]`)) }),
    ...(after === undefined ? {} : { after: parseAccountId(after, 'after') }),
  };
}

function optionalEpoch(row: Row, at: string): { readonly epoch?: Position['epoch'] } {
  return row['epoch'] === undefined ? {} : { epoch: epochAt(row['epoch'], at) };
}
