// The protocol page (README.md) as data: its examples, and its tables as they must stand there, made from codes.ts and limits.ts.
// page.test.ts compares; the gateway's tests send the examples for real. Pure: callers read the file.
import { CLOSE, ERRORS } from './codes.ts';
import type { ClientFrame, ServerFrame } from './frames.ts';
import { LIMITS } from './limits.ts';

export interface ProtocolExample {
  /** The heading it stands under, numbered where there are several: `hello`, `hello 2`. */
  readonly name: string;
  readonly direction: 'client' | 'gateway';
  /** As written; its form is what the tests check. */
  readonly frame: Readonly<Record<string, unknown>>;
}

const DIRECTIONS: Readonly<Record<string, ProtocolExample['direction']>> = {
  'Frames from the client': 'client',
  'Frames from the gateway': 'gateway',
};

/** Every ```json block of the two chapters with frames, in order. Throws SyntaxError where one is not JSON. */
export function* protocolExamples(page: string): Generator<ProtocolExample> {
  for (const chapter of page.split(/^## /m)) {
    const direction = DIRECTIONS[chapter.split('\n', 1)[0]!.trim()];
    if (direction === undefined) continue;
    for (const section of chapter.split(/^### /m).slice(1)) {
      const heading = section.split('\n', 1)[0]!.trim();
      let number = 0;
      for (const [, json] of section.matchAll(/^```json\n([\s\S]*?)^```/gm)) {
        number++;
        const name = number === 1 ? heading : `${heading} ${number}`;
        yield { name, direction, frame: JSON.parse(json!) as Record<string, unknown> };
      }
    }
  }
}

/** For each frame its fields, and whether each must be there. The compiler keeps it in step with frames.ts. */
type FieldsOf<F> = { readonly [K in Exclude<keyof F, 'type'>]-?: object extends Pick<F, K> ? 'optional' : 'required' };
type FrameFields = {
  readonly [T in (ClientFrame | ServerFrame)['type']]: FieldsOf<Extract<ClientFrame | ServerFrame, { type: T }>>;
};
export const FRAME_FIELDS: FrameFields = {
  hello: {
    version: 'required',
    token: 'optional',
    ticket: 'optional',
    positions: 'optional',
    agent: 'optional',
    offline: 'optional',
    lanes: 'optional',
  },
  ack: { positions: 'required', ids: 'optional' },
  nack: {
    stream: 'required',
    offset: 'required',
    epoch: 'optional',
    reason: 'required',
    retryAfterMs: 'optional',
    final: 'optional',
  },
  pull: { id: 'required', stream: 'required', max: 'required' },
  fetch: { id: 'required', stream: 'required', offset: 'required', epoch: 'optional' },
  subscribe: { id: 'required', topics: 'required' },
  unsubscribe: { id: 'required', topics: 'required' },
  upstream: { id: 'required', kind: 'required', key: 'required', order: 'optional', body: 'required' },
  send: { id: 'required', key: 'required', to: 'required', body: 'required', ttlMs: 'optional' },
  group: { id: 'required', op: 'required', group: 'required', members: 'optional', after: 'optional' },
  ping: {},
  bye: {},
  welcome: {
    version: 'required',
    gateway: 'required',
    generation: 'required',
    ticket: 'required',
    targets: 'required',
    heartbeatIntervalMs: 'required',
    streams: 'required',
  },
  message: {
    stream: 'required',
    offset: 'optional',
    prev: 'optional',
    id: 'required',
    sentAtMs: 'required',
    encoding: 'optional',
    attributes: 'optional',
    attempt: 'optional',
    idOnly: 'optional',
    later: 'optional',
    body: 'optional',
  },
  subscribed: { id: 'required', streams: 'required', refused: 'optional' },
  unsubscribed: { id: 'required' },
  stream: { state: 'required' },
  taken: { id: 'required' },
  pong: { ticket: 'optional', targets: 'optional' },
  goaway: { reason: 'required', ticket: 'required', targets: 'required', afterMs: 'required', deadlineMs: 'required' },
  degraded: { levelMin: 'required', forMs: 'required' },
  restored: {},
  pulled: { id: 'required', stream: 'required', sent: 'required', left: 'required' },
  fetched: { id: 'required', encoding: 'optional', body: 'required' },
  sent: { id: 'required', messageId: 'required' },
  grouped: { id: 'required', group: 'required', members: 'optional', count: 'optional', next: 'optional' },
  error: { id: 'optional', code: 'required', message: 'required', retryAfterMs: 'optional' },
};

/** The table of close codes as the page has it. */
export function renderCloseTable(): string {
  const rows = Object.values(CLOSE).map(({ code, reason, when, client }) => [String(code), reason, when, client]);
  return renderTable(['code', 'reason', 'when', 'the client'], rows);
}

/** The table of error codes as the page has it. */
export function renderErrorTable(): string {
  const rows = Object.entries(ERRORS).map(([code, { status, when, remedy }]) => [code, String(status), when, remedy]);
  return renderTable(['code', 'HTTP status', 'when', 'remedy'], rows);
}

/** Limits that a client meets, and what each is for. */
const CLIENT_LIMITS: readonly (readonly [keyof typeof LIMITS, string])[] = [
  ['clientFrameBytesMax', 'one frame from a client, bytes; more: closed with `too-large`'],
  ['positionsPerFrameMax', 'positions or topics in one frame; more: closed with `protocol`, so send further frames'],
  ['subscriptionsMax', 'topics of one session'],
  ['credentialCharsMax', 'a token or a ticket, characters'],
  ['topicPatternsMax', 'topic patterns of a token'],
  ['bodyBytesMax', "a message's body, bytes"],
  ['attributesBytesMax', "a message's attributes as JSON, bytes"],
  ['deviceStreamEntriesMax', 'messages that wait in one lane of a device'],
  ['deviceStreamBytesMax', 'bytes that wait in one lane of a device'],
  ['topicStreamEntriesMax', 'messages that a topic keeps'],
  ['topicStreamBytesMax', 'bytes that a topic keeps'],
  ['topicStreamAgeMs', 'how long a topic keeps a message, ms'],
  ['ttlDefaultMs', 'how long a message for a device waits unless its sender says otherwise, ms'],
  [
    'attemptsMax',
    'deliveries of one message to one device before it is dead-lettered, unless sender or app say otherwise',
  ],
  ['nackReasonCharsMax', 'reason of a negative ack, characters'],
  ['nackRetryAfterMs', 'how far a negative ack may put the next try off, ms'],
  ['pullMessagesMax', 'messages that one pull may ask for'],
  ['filterTypesMax', 'business types in a filter'],
  ['filterFieldsMax', 'fields in a filter'],
  ['filterValuesMax', 'values of each field in a filter'],
  ['filterBytesMax', 'a filter as JSON, bytes'],
  ['groupMembersMax', 'members of a group'],
  ['ttlMaxMs', 'how long a message may wait at most, ms'],
  [
    'duplicateWindowEntries',
    'message ids that the server remembers for each stream, so that a repeated sending is known',
  ],
  ['epochHistoryMax', 'epochs of a stream that can still be continued from'],
];

/** The table of limits as the page has it. */
export function renderLimitTable(): string {
  return renderTable(
    ['limit', 'value', 'of'],
    CLIENT_LIMITS.map(([name, of]) => [name, LIMITS[name].toLocaleString('en-US'), of]),
  );
}

function renderTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}
