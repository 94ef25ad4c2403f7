// Compiles load.c once for each of its versions and talks to it: counts over standard input and output. Each bench starts one.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, renameSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startProcess } from '../processes.ts';
import { MissingPartError } from '../stage.ts';

const SOURCE = join(import.meta.dirname, 'load.c');

export interface LoadOptions {
  /** Of one gateway, or of several that connections take in turn. */
  readonly port: number | readonly number[];
  readonly connections: number;
  readonly opensPerSecond: number;
  readonly tokensFile: string;
  /** What each connection subscribes to; null: nothing; `all`, `each` and `first`: so many of the topics b/first …, default b/0 … */
  readonly topic: string | { readonly all: number; readonly each: number; readonly first?: number } | null;
  readonly ack: boolean;
  /** Latency of every nth message of a connection; 0: none. */
  readonly sampleEvery: number;
  /** Default: pushcluster. */
  readonly protocol?: 'pushcluster' | 'centrifuge';
  /** Who is refused before it was live comes back when it was told to, or after a second. Default: it counts as failed. */
  readonly retry?: boolean;
  /** Each connection pings so often; default 20. */
  readonly pingSeconds?: number;
}
export interface LoadCounts {
  readonly opened: number;
  readonly live: number;
  readonly failed: number;
  /** Refusals of clients that came back. */
  readonly refused: number;
  readonly closed: number;
  /** The last close code that came; 0: none. */
  readonly closeCode: number;
  readonly messages: number;
  /** Durable messages that came again; not in `messages`. */
  readonly repeated: number;
  readonly bytes: number;
  readonly acks: number;
  readonly sampled: number;
  /** Messages of the live connection that got the fewest, and the most: of `each` and `report`, else 0. */
  readonly least: number;
  readonly most: number;
  readonly p50Ms?: number;
  readonly p99Ms?: number;
  readonly maxMs?: number;
}
export interface Load {
  readonly pid: number;
  /** Without latencies and connections: cheap. */
  counts(): Promise<LoadCounts>;
  /** Without latencies: walks the connections. */
  each(): Promise<LoadCounts>;
  /** With latencies, of all samples or from the nth on. */
  report(fromSample?: number): Promise<LoadCounts>;
  /** Messages, bytes and latencies start at zero. */
  reset(): void;
  /** Until so many connections are live; rejects when it takes longer or one fails. */
  untilLive(connections: number, timeoutMs: number): Promise<LoadCounts>;
  /** Until so many messages came, or nothing came for `quietMs`. */
  untilMessages(messages: number, quietMs: number): Promise<LoadCounts>;
  /** The same, where so many are wanted for each connection. */
  untilEach(messages: number, quietMs: number): Promise<LoadCounts>;
  stop(): Promise<void>;
}

/** Below the default heartbeat interval of gateways. */
const PING_SECONDS = 20;
const POLL_MS = 1;
/** Where nothing hangs on the millisecond: asking takes the cores from what is measured. */
const POLL_SELDOM_MS = 10;

/** Compiles where needed, starts, and begins to connect. */
export async function startLoad(options: LoadOptions): Promise<Load> {
  const { port, connections, opensPerSecond, tokensFile, topic, ack, sampleEvery } = options;
  const ports = typeof port === 'number' ? port : port.join(',');
  const topics =
    topic !== null && typeof topic === 'object'
      ? `many:${topic.all}:${topic.each}:${topic.first ?? 0}`
      : (topic ?? '-');
  const protocol = options.protocol ?? 'pushcluster';
  const args = [
    '127.0.0.1',
    ports,
    connections,
    opensPerSecond,
    tokensFile,
    topics,
    ack ? 1 : 0,
    sampleEvery,
    protocol,
    options.retry === true ? 1 : 0,
    options.pingSeconds ?? PING_SECONDS,
  ];
  const isReady = (line: string): boolean => line.includes('"ready"');
  const { process: running } = await startProcess(compile(), args.map(String), { isReady });
  const waiting: { resolve: (counts: LoadCounts) => void; reject: (error: Error) => void }[] = [];
  createInterface({ input: running.child.stdout! }).on('line', (line) => {
    waiting.shift()?.resolve(JSON.parse(line) as LoadCounts);
  });
  running.child.once('exit', () => {
    for (const { reject } of waiting) reject(new Error(`the load generator ended:\n${running.words()}`));
  });
  const tell = (line: string): boolean => running.child.stdin!.write(`${line}\n`);
  const ask = (question: 'count' | 'each' | `report ${number}`): Promise<LoadCounts> =>
    new Promise((resolve, reject) => {
      waiting.push({ resolve, reject });
      tell(question);
    });
  const counts = (): Promise<LoadCounts> => ask('count');
  const each = (): Promise<LoadCounts> => ask('each');
  return {
    pid: running.pid,
    counts,
    each,
    report: (fromSample = 0) => ask(`report ${fromSample}`),
    reset: () => void tell('reset'),
    untilLive: (wanted, timeoutMs) => untilLive(counts, wanted, timeoutMs),
    untilMessages: (wanted, quietMs) =>
      untilQuiet(counts, (now) => now.messages >= wanted, { quietMs, pollMs: POLL_SELDOM_MS }),
    untilEach: (wanted, quietMs) => untilQuiet(each, (now) => now.least >= wanted, { quietMs, pollMs: POLL_MS }),
    stop: () => running.stop(),
  };
}

async function untilLive(counts: Load['counts'], wanted: number, timeoutMs: number): Promise<LoadCounts> {
  const endMs = performance.now() + timeoutMs;
  for (;;) {
    const now = await counts();
    if (now.live >= wanted) return now;
    if (now.failed + now.closed > 0 || performance.now() > endMs)
      throw new Error(`expected ${wanted} live connections, got ${JSON.stringify(now)}`);
    await pause(POLL_SELDOM_MS * 5);
  }
}

async function untilQuiet(
  counts: Load['counts'],
  isEnough: (now: LoadCounts) => boolean,
  { quietMs, pollMs }: { readonly quietMs: number; readonly pollMs: number },
): Promise<LoadCounts> {
  let last = -1;
  let changedMs = performance.now();
  for (;;) {
    const now = await counts();
    if (isEnough(now)) return now;
    if (now.messages !== last) {
      last = now.messages;
      changedMs = performance.now();
    } else if (performance.now() - changedMs > quietMs) return now;
    await pause(pollMs);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** The binary, kept outside the repo under the source's hash. */
function compile(): string {
  const hash = createHash('sha256').update(readFileSync(SOURCE)).digest('hex').slice(0, 16);
  const binary = join(tmpdir(), `pushcluster-load-${hash}`);
  if (existsSync(binary)) return binary;
  const fresh = `${binary}.${process.pid}`;
  const done = spawnSync('gcc', ['-O2', '-Wall', '-o', fresh, SOURCE], { encoding: 'utf8' });
  if (done.error !== undefined)
    throw new MissingPartError('gcc is missing: apt-get install gcc', { cause: done.error });
  if (done.status !== 0) throw new Error(`gcc: ${done.stderr}`);
  renameSync(fresh, binary); // two benches at once compile twice, and each finds a whole file
  return binary;
}
