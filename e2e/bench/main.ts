// `npm run bench -- <name> [--json]`: one bench against compiled roles, each in a process of its own, load from lean processes beside them. The last
// line of the output is one JSON object; --json prints nothing else. README.md tells what was found.
import { parseArgs } from 'node:util';
import type { ParseArgsConfig } from 'node:util';
import { FANOUT_SHAPES, fanout } from './fanout.ts';
import type { FanoutShape } from './fanout.ts';
import { BATCH_DEFAULTS, batch } from './batch.ts';
import { bus } from './bus.ts';
import { doors } from './doors.ts';
import { idle } from './idle.ts';
import { endOnSignals } from './processes.ts';
import { PUSH100K_DEFAULTS, push100k } from './push100k.ts';
import { redis } from './redis.ts';
import { MissingPartError } from './stage.ts';
import type { StoreKind } from './stage.ts';
import { STAMPEDE_DEFAULTS, stampede } from './stampede.ts';
import { TOPICS_DEFAULTS, topics } from './topics.ts';
import { UNICAST_DEFAULTS, UNICAST_PACED, UNICAST_SHORT, unicast } from './unicast.ts';
import type { Shapes } from './unicast.ts';
import { describeMachine } from './usage.ts';

const USAGE = `npm run bench -- <name> [--json] [options]      --help: this

  idle      18,000 connections with live sessions: rssPerConnectionBytes
  fanout    live, one topic, 10,000 connections: deliveriesPerCpuSecond of the gateway, lost
            --messages, --batch and --in-flight measure one shape instead of ${FANOUT_SHAPES.map(({ inFlight }) => inFlight).join(', ')} in flight
  unicast   durable through the push API, acked: messagesPerSecond, p50Ms, p99Ms, lost; then \`short\`, ${UNICAST_SHORT.batch} in flight, and \`paced\`, ${UNICAST_PACED.rate} a second
            --store ${UNICAST_DEFAULTS.store}|redis-always  --messages ${UNICAST_DEFAULTS.messages}  --batch ${UNICAST_DEFAULTS.batch}  --requests ${UNICAST_DEFAULTS.requests}  --rate: one shape only  --centrifugo PATH
  push100k  one request for ${PUSH100K_DEFAULTS.recipients.toLocaleString('en')} online devices over ${PUSH100K_DEFAULTS.gateways} gateways: acceptedMs, lastAckMs, lost
            --recipients  --gateways  --text-bytes ${PUSH100K_DEFAULTS.textBytes}  --centrifugo PATH
  topics    ${TOPICS_DEFAULTS.topics} topics, each written once a second, ${TOPICS_DEFAULTS.clients} clients that hear ${TOPICS_DEFAULTS.each} of them each: deliveriesPerSecond, p99Ms, lost
            --each  --class live|durable  --seconds ${TOPICS_DEFAULTS.seconds}  --rate ${TOPICS_DEFAULTS.rate}  --topics  --clients  --gateways 1  --centrifugo PATH
  batch     live messages in batches of ${BATCH_DEFAULTS.batch} as fast as they are taken, each to --hearers ${BATCH_DEFAULTS.hearers} clients: deliveriesPerSecond
            --hearers  --seconds ${BATCH_DEFAULTS.seconds}  --centrifugo PATH
  stampede  ${STAMPEDE_DEFAULTS.returning.toLocaleString('en')} clients return at once, ${STAMPEDE_DEFAULTS.backlog} messages waiting for each, while others live on: livePhases, secondsUntilAllHadTheirs
            --clients  --backlog  --gateways  --seconds
  redis     appends and route look-ups, one in flight against pipelined: factor
  bus       a Kafka on this machine: publishes and hand-offs a second, latency, rebalance, what is seen of a killed broker, upstream stored a second
  doors     pushes over HTTP and over one TCP connection with pipelining: commandsPerSecond, commandsPerCpuSecond of the router

  --set NAME=VALUE   in the gateway's environment, for trials: NODE_OPTIONS=…, PUSHCLUSTER_…`;

const { values, positionals } = read({
  help: { type: 'boolean', short: 'h', default: false },
  json: { type: 'boolean', default: false },
  messages: { type: 'string' },
  batch: { type: 'string' },
  'in-flight': { type: 'string' },
  requests: { type: 'string' },
  store: { type: 'string' },
  recipients: { type: 'string' },
  gateways: { type: 'string' },
  'text-bytes': { type: 'string' },
  each: { type: 'string' },
  class: { type: 'string' },
  seconds: { type: 'string' },
  rate: { type: 'string' },
  topics: { type: 'string' },
  clients: { type: 'string' },
  hearers: { type: 'string' },
  backlog: { type: 'string' },
  centrifugo: { type: 'string' },
  set: { type: 'string', multiple: true, default: [] },
});

const centrifugo = values.centrifugo ?? null;

type Result = Readonly<Record<string, unknown>>;
const BENCHES: Readonly<Record<string, () => Promise<Result>>> = {
  idle: () => idle(gatewayEnvironment()),
  fanout: () => fanout(fanoutShapes(), gatewayEnvironment()),
  unicast: () => unicast(unicastShapes(), { gateway: gatewayEnvironment(), centrifugo }),
  push100k: () =>
    push100k(
      {
        recipients: number(values.recipients, PUSH100K_DEFAULTS.recipients),
        gateways: number(values.gateways, PUSH100K_DEFAULTS.gateways),
        textBytes: number(values['text-bytes'], PUSH100K_DEFAULTS.textBytes),
        centrifugo,
      },
      gatewayEnvironment(),
    ),
  topics: () =>
    topics(
      {
        topics: number(values.topics, TOPICS_DEFAULTS.topics),
        clients: number(values.clients, TOPICS_DEFAULTS.clients),
        each: number(values.each, TOPICS_DEFAULTS.each),
        class: values.class === 'durable' ? 'durable' : 'live',
        seconds: number(values.seconds, TOPICS_DEFAULTS.seconds),
        rate: number(values.rate, TOPICS_DEFAULTS.rate),
        gateways: number(values.gateways, TOPICS_DEFAULTS.gateways),
        centrifugo,
      },
      gatewayEnvironment(),
    ),
  batch: () =>
    batch(
      {
        ...BATCH_DEFAULTS,
        hearers: number(values.hearers, BATCH_DEFAULTS.hearers),
        seconds: number(values.seconds, BATCH_DEFAULTS.seconds),
        centrifugo,
      },
      gatewayEnvironment(),
    ),
  stampede: () =>
    stampede(
      {
        returning: number(values.clients, STAMPEDE_DEFAULTS.returning),
        backlog: number(values.backlog, STAMPEDE_DEFAULTS.backlog),
        gateways: number(values.gateways, STAMPEDE_DEFAULTS.gateways),
        seconds: number(values.seconds, STAMPEDE_DEFAULTS.seconds),
      },
      gatewayEnvironment(),
    ),
  redis: () => redis(),
  bus: () => bus(),
  doors: () => doors(),
};

/** An option that there is none of ends it with the usage. */
function read<T extends NonNullable<ParseArgsConfig['options']>>(
  options: T,
): ReturnType<typeof parseArgs<{ allowPositionals: true; options: T }>> {
  try {
    return parseArgs({ allowPositionals: true, options });
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${USAGE}`);
    process.exit(2);
  }
}

function gatewayEnvironment(): Readonly<Record<string, string>> {
  return Object.fromEntries(
    values.set.map((text) => {
      const at = text.indexOf('=');
      if (at < 1) throw new RangeError(`--set: expected NAME=VALUE, got ${text}`);
      return [text.slice(0, at), text.slice(at + 1)];
    }),
  );
}

function fanoutShapes(): readonly FanoutShape[] {
  const [usual] = FANOUT_SHAPES;
  if (usual === undefined || (values.messages ?? values.batch ?? values['in-flight']) === undefined)
    return FANOUT_SHAPES;
  const batch = number(values.batch, usual.batch);
  const inFlight = Math.max(batch, number(values['in-flight'], usual.inFlight));
  return [{ messages: number(values.messages, usual.messages), batch, inFlight }];
}

/** All of them, unless one is asked for. */
function unicastShapes(): Shapes {
  const usual = { ...UNICAST_DEFAULTS, store: store(values.store) };
  const { messages, batch: size, requests, rate } = values;
  if ((messages ?? size ?? requests ?? rate) === undefined)
    return { first: usual, others: { short: { ...usual, ...UNICAST_SHORT }, paced: { ...usual, ...UNICAST_PACED } } };
  const shape = rate === undefined ? usual : { ...usual, ...UNICAST_PACED };
  const first = {
    ...shape,
    messages: number(messages, shape.messages),
    batch: number(size, shape.batch),
    requests: number(requests, shape.requests),
    rate: rate === undefined ? null : number(rate, 1),
  };
  return { first, others: {} };
}

function number(text: string | undefined, fallback: number): number {
  const value = text === undefined ? fallback : Number(text);
  if (!Number.isSafeInteger(value) || value < 1)
    throw new RangeError(`expected a whole number of at least 1, got ${text}`);
  return value;
}

function store(text: string | undefined): StoreKind {
  const known: readonly StoreKind[] = ['redis-everysec', 'redis-always'];
  const kind = known.find((name) => name === (text ?? UNICAST_DEFAULTS.store));
  if (kind === undefined) throw new RangeError(`expected one of ${known.join(', ')}, got ${text}`);
  return kind;
}

if (values.help) {
  console.log(USAGE);
  process.exit(0);
}
const name = positionals[0] ?? '';
const bench = Object.hasOwn(BENCHES, name) ? BENCHES[name]! : null;
if (bench === null) {
  console.error(USAGE);
  process.exit(2);
}
const bySignal = endOnSignals();
try {
  if (!values.json) console.log(`${name} on ${describeMachine()}, Node ${process.version}`);
  const result = await bench();
  if (!values.json)
    for (const [key, value] of Object.entries(result)) console.log(`  ${key}: ${JSON.stringify(value)}`);
  console.log(JSON.stringify({ bench: name, machine: describeMachine(), node: process.version, ...result }));
} catch (error) {
  await bySignal(); // then it fails because of that
  console.error(error instanceof MissingPartError ? error.message : error);
  process.exit(1);
}
