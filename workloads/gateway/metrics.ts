// Metrics of a gateway: its own registry, filled at a scrape from counts.ts and from what the parts tell. Names that other roles depend on
// are in protocol/metrics-names.ts. Nothing here runs while messages flow.
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Counter, Gauge, Registry } from 'prom-client';
import { busState } from '../bus/port.ts';
import { METRIC } from '../protocol/metrics-names.ts';
import type { Gateway } from './gateway.ts';

export interface GatewayMetrics {
  readonly registry: Registry;
  stop(): void;
}

const PREFIX = 'pushcluster_gateway_';

export function openMetrics(gateway: Gateway): GatewayMetrics {
  const registry = new Registry();
  const lag = monitorEventLoopDelay({ resolution: 20 });
  lag.enable();
  addGauges(gateway, registry);
  addCounters(gateway, registry);
  addLabelled(gateway, registry);
  gauge(
    registry,
    `${PREFIX}event_loop_lag_seconds`,
    'Delay of the event loop, 99th percentile since the last scrape.',
    () => {
      const seconds = lag.percentile(99) / 1e9;
      lag.reset();
      return seconds;
    },
  );
  return { registry, stop: () => lag.disable() };
}

function gauge(registry: Registry, name: string, help: string, read: () => number): void {
  registry.registerMetric(
    new Gauge({
      name,
      help,
      registers: [],
      collect() {
        this.set(read());
      },
    }),
  );
}

function counter(registry: Registry, name: string, help: string, read: () => number): void {
  registry.registerMetric(
    new Counter({
      name,
      help,
      registers: [],
      collect() {
        this.reset();
        this.inc(read());
      },
    }),
  );
}

function addGauges(gateway: Gateway, registry: Registry): void {
  const { directory, counts, settings, drain } = gateway;
  const rows: readonly [name: string, help: string, read: () => number][] = [
    [METRIC.connections, 'Client connections open now.', () => directory.connections.length],
    [METRIC.sessions, 'Sessions that are live now.', () => directory.sessions],
    [METRIC.unacked, 'Durable deliveries written and not acked.', () => counts.unacked],
    [METRIC.draining, '1 while everyone is asked to leave.', () => Number(drain.refusesClients)],
    [METRIC.capacity, 'Connections it is sized for.', () => settings.connectionsMax],
    [`${PREFIX}drain_asked`, 'Sessions that the drain under way has asked to leave.', () => drain.state()?.asked ?? 0],
    [`${PREFIX}drain_left`, 'Connections that the drain under way has left.', () => drain.state()?.left ?? 0],
    [`${PREFIX}admission_waiting`, 'Sessions waiting for their turn to open.', () => gateway.admission.waiting],
    [
      `${PREFIX}return_share`,
      'Share of the rates at which sessions open and backlogs are fed, beside live traffic.',
      () => gateway.headroom.share,
    ],
    [`${PREFIX}settles_waiting`, 'Lanes whose acks the store does not have yet.', () => gateway.settles.waiting],
    [
      `${PREFIX}cursors_waiting`,
      'Sessions whose topic cursors the store does not have yet.',
      () => gateway.cursorFlush.waiting,
    ],
    [`${PREFIX}attempts_waiting`, 'Lanes whose attempts the store does not have yet.', () => gateway.attempts.waiting],
    [`${PREFIX}satisfied_waiting`, 'Messages to be settled for other devices.', () => gateway.satisfied.waiting],
    [
      `${PREFIX}sessions_paced`,
      'Sessions that are given less at a time since they ack late.',
      () => counts.paced.reduce((sum, each) => sum + each, 0),
    ],
    [`${PREFIX}tail_bytes`, 'Bytes that the tails of topics hold.', () => counts.tailBytes],
    [`${PREFIX}streams_reading`, 'Streams that are being read for sessions behind.', () => gateway.reader.waiting],
    [`${PREFIX}shedding_level`, 'Load that is shed, 0 (none) to 3.', () => gateway.shedding.level],
    [`${PREFIX}intake_paused`, '1 while deliveries are answered late.', () => Number(gateway.shedding.intakePaused)],
    [`${PREFIX}outbox_waiting_bytes`, 'Bytes that wait for clients.', () => gateway.outbox.waitingBytes()],
    [
      `${PREFIX}bandwidth_bytes_per_second`,
      'Bytes written to clients a second, of late.',
      () => gateway.shedding.load.bytesPerSecond,
    ],
    [`${PREFIX}provisional`, 'Sessions that the store is still to hear of.', () => gateway.provisional.size],
    [`${PREFIX}backlogs`, 'Sessions whose backlog is being fed.', () => gateway.backlog.sessions],
    [
      `${PREFIX}backlogs_in_line`,
      'Of these, those that wait until the gateway has room for a page.',
      () => gateway.backlog.inLine,
    ],
    [`${PREFIX}backlog_pages_waiting`, 'Pages of backlogs asked for.', () => gateway.pages.waiting],
    [`${PREFIX}drainers`, 'Links of drainers that stand.', () => gateway.state.peers('drainer').length],
    [
      `${PREFIX}upstream_buffered_bytes`,
      'Upstream messages that wait in files for the bus.',
      () => gateway.upstream.bufferedBytes,
    ],
    [`${PREFIX}links`, 'Links to routers and gateways that stand.', () => gateway.state.peers().length],
    [
      `${PREFIX}broadcast_standing`,
      '1 once the bus has let the consumer of broadcasts in.',
      () => Number(gateway.state.broadcasts()),
    ],
    [
      `${PREFIX}bus_reachable`,
      '1 when the bus answers and nothing is wrong with it; 0 also where there is none.',
      () => Number(busState(gateway.bus) === 'reachable'),
    ],
    [
      `${PREFIX}store_reachable`,
      '1 when the last renewal of the lease was answered.',
      () => Number(gateway.state.storeReachable),
    ],
    [`${PREFIX}heap_bytes`, 'JavaScript heap in use.', () => process.memoryUsage().heapUsed],
    [`${PREFIX}resident_bytes`, 'Resident memory of the process.', () => process.memoryUsage.rss()],
  ];
  for (const [name, help, read] of rows) gauge(registry, name, help, read);
}

function addCounters({ counts, outbox, headroom }: Gateway, registry: Registry): void {
  const rows: readonly [name: string, help: string, read: () => number][] = [
    ['accepted_total', 'Connections taken.', () => counts.accepted],
    ['frames_received_total', 'Frames that came from clients.', () => counts.framesIn],
    ['frames_sent_total', 'Frames handed to connections.', () => outbox.counts.frames],
    ['writes_total', 'Socket writes; frames sent by it is the batching.', () => outbox.counts.writes],
    ['sent_bytes_total', 'Bytes written to clients.', () => outbox.counts.bytes],
    ['live_dropped_total', 'Live messages not written to slow clients.', () => counts.droppedLive],
    ['live_conflated_total', 'Live messages replaced by newer ones of their key.', () => counts.conflatedLive],
    ['slow_cut_total', 'Clients closed since they read nothing for a minute.', () => counts.cutSlow],
    ['id_only_total', 'Messages written without their body to slow clients.', () => counts.idOnly],
    ['fetched_total', 'Bodies that clients fetched.', () => counts.fetched],
    ['live_outdated_total', 'Live messages that came after a newer one.', () => counts.outdatedLive],
    ['held_back_total', 'Times a durable stream waited for a slow client.', () => counts.heldBack],
    ['acks_total', 'Positions that acks moved.', () => counts.acks],
    ['nacks_total', 'Messages that clients could not deal with.', () => counts.nacks],
    ['resends_total', 'Streams written again for want of an ack.', () => counts.resends],
    ['dead_letters_total', 'Deliveries given up and kept as dead letters.', () => counts.deadLetters],
    ['notices_dropped_total', 'Notices of dead letters that found no room.', () => counts.noticesDropped],
    ['satisfied_total', 'Entries ended since another device acked.', () => counts.satisfied],
    ['satisfied_dropped_total', 'The same, not done for want of room.', () => counts.satisfiedDropped],
    [
      'settles_dropped_total',
      'Acks of lanes that found no room while the store was away.',
      () => counts.settlesDropped,
    ],
    ['cursors_dropped_total', 'Rows of ended sessions that found none.', () => counts.cursorsDropped],
    ['settles_total', 'Acks of lanes that reached the store.', () => counts.settles],
    ['cursors_saved_total', 'Rows of topic cursors that reached the store.', () => counts.cursorsSaved],
    ['store_reads_total', 'Reads of streams.', () => counts.storeReads],
    ['tail_reads_total', 'Reads that the tail of a topic answered.', () => counts.tailReads],
    ['store_reads_failed_total', 'Reads of streams that failed.', () => counts.storeReadsFailed],
    ['positions_behind_total', 'Positions found behind without a hint.', () => counts.positionsBehind],
    ['invalid_records_total', 'Records that could not be read.', () => counts.invalidRecords],
    ['presence_told_total', 'Notices of devices that came or went.', () => counts.presenceTold],
    ['presence_dropped_total', 'Of these, dropped since too many waited.', () => counts.presenceDropped],
    ['commands_total', 'Commands of clients asked of routers.', () => counts.commands],
    ['commands_put_off_total', 'Commands of clients put off for want of a router.', () => counts.commandsPutOff],
    ['shed_total', 'Live messages not sent since load is shed.', () => counts.shed],
    ['hints_held_total', 'Hints of durable messages that waited since load is shed.', () => counts.hintsHeld],
    ['load_changes_total', 'Changes of the level of shedding, or of intake.', () => counts.loadChanges],
    ['provisional_total', 'Sessions let in by their signature while the store was away.', () => counts.provisional],
    ['return_cuts_total', 'Times that share was cut, the event loop being late.', () => headroom.cuts],
    ['backlog_pages_total', 'Pages of backlogs written.', () => counts.backlogPages],
    ['backlog_put_off_total', 'Pages of backlogs to be asked for again later.', () => counts.backlogPutOff],
    ['pulls_total', 'Pulls answered.', () => counts.pulls],
    ['pulls_refused_total', 'Pulls told to come back.', () => counts.pullsRefused],
    ['upstream_taken_total', 'Upstream messages that the bus took at once.', () => counts.upstreamTaken],
    ['upstream_buffered_total', 'Upstream messages kept in files for the bus.', () => counts.upstreamBuffered],
    ['upstream_replayed_total', 'Upstream messages that went from files to the bus.', () => counts.upstreamReplayed],
    ['upstream_repeats_total', 'Upstream messages that had been taken before.', () => counts.upstreamRepeats],
  ];
  for (const [name, help, read] of rows) counter(registry, PREFIX + name, help, read);
}

function addLabelled({ counts }: Gateway, registry: Registry): void {
  labelled(registry, { name: 'refused_total', help: 'Sockets refused before the upgrade.', label: 'reason' }, () =>
    Object.entries(counts.refused),
  );
  labelled(
    registry,
    { name: 'closed_total', help: 'Connections ended, by close code.', label: 'code' },
    () => counts.closed,
  );
  labelled(
    registry,
    { name: 'broadcasts_total', help: 'Records of the bus, for this gateway or passed over.', label: 'outcome' },
    () => Object.entries(counts.broadcasts),
  );
  labelled(registry, { name: 'hints_total', help: 'Deliveries of routers, by answer.', label: 'outcome' }, () =>
    Object.entries(counts.hints),
  );
  labelled(registry, { name: 'delivered_total', help: 'Messages written to clients.', label: 'class' }, () => [
    ['durable', counts.deliveredDurable],
    ['live', counts.deliveredLive],
  ]);
  labelled(registry, { name: 'pace_steps_total', help: 'Steps of clients in pace, by way.', label: 'way' }, () =>
    Object.entries(counts.paceSteps),
  );
  labelled(registry, { name: 'sessions_opened_total', help: 'Sessions opened since boot.', label: 'by' }, () => [
    ['token', counts.opened],
    ['ticket', counts.resumed],
  ]);
}

function labelled(
  registry: Registry,
  metric: { readonly name: string; readonly help: string; readonly label: string },
  read: () => Iterable<readonly [string, number]>,
): void {
  registry.registerMetric(
    new Counter({
      name: PREFIX + metric.name,
      help: metric.help,
      labelNames: [metric.label],
      registers: [],
      collect() {
        this.reset();
        for (const [value, count] of read()) this.inc({ [metric.label]: value }, count);
      },
    }),
  );
}
