// One watch over HTTP: a stream of JSON lines until the server or the network ends it. client.ts opens it; watch.ts of the operator
// starts the next one.
import type { IncomingMessage } from 'node:http';
import { isRow } from './fields.ts';
import { KubeError } from './port.ts';
import type { KubeObject, Watch, WatchEnd, WatchEvent } from './port.ts';

/** A line longer than this is no object: etcd holds at most 1.5 MiB. */
const LINE_CHARS_MAX = 16 * 1024 * 1024;
/** The server ends watches after some minutes by itself; a connection silent for longer than this is dead (bookmarks come each minute). */
const SILENT_MS = 5 * 60_000;

export interface WatchStreamOptions {
  readonly open: (signal: AbortSignal) => Promise<IncomingMessage>;
  readonly toObject: (value: unknown) => KubeObject;
  readonly onEvent: (event: WatchEvent) => void;
}

type End = { readonly why: WatchEnd; readonly detail: string };

export function openWatch(options: WatchStreamOptions): Watch {
  const abort = new AbortController();
  return { ended: follow(options, abort), stop: () => abort.abort() };
}

/** Never rejects. */
async function follow(options: WatchStreamOptions, abort: AbortController): Promise<End> {
  try {
    const stream = await options.open(abort.signal);
    stream.setTimeout(SILENT_MS, () => stream.destroy(new Error(`silent for ${SILENT_MS} ms`)));
    stream.setEncoding('utf8');
    let rest = '';
    for await (const text of stream as AsyncIterable<string>) {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      if (rest.length > LINE_CHARS_MAX) return { why: 'failed', detail: `a line of over ${LINE_CHARS_MAX} characters` };
      for (const line of lines) {
        const end = line === '' ? null : take(line, options);
        if (end !== null) return end;
      }
    }
    return { why: 'closed', detail: 'the server ended it' };
  } catch (error) {
    if (abort.signal.aborted) return { why: 'closed', detail: 'stopped' };
    if (error instanceof KubeError && error.status === 410) return { why: 'expired', detail: error.message };
    return { why: 'failed', detail: error instanceof Error ? error.message : String(error) };
  } finally {
    abort.abort();
  }
}

/** One line; the answer ends the watch. */
function take(line: string, options: WatchStreamOptions): End | null {
  const value: unknown = JSON.parse(line);
  const type = isRow(value) ? value['type'] : undefined;
  const body = isRow(value) ? value['object'] : undefined;
  if (type === 'ERROR') {
    const status = isRow(body) ? body : {};
    const detail = typeof status['message'] === 'string' ? status['message'] : 'the server gave no reason';
    return { why: status['code'] === 410 ? 'expired' : 'failed', detail };
  }
  const object = options.toObject(body);
  if (type === 'BOOKMARK')
    options.onEvent({ type: 'bookmark', resourceVersion: object.metadata.resourceVersion ?? '0' });
  else if (type === 'ADDED') options.onEvent({ type: 'added', object });
  else if (type === 'MODIFIED') options.onEvent({ type: 'modified', object });
  else if (type === 'DELETED') options.onEvent({ type: 'deleted', object });
  return null;
}
