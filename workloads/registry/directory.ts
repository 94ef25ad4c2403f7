// Who is eligible now: the routing document (watched) and the leases (polled from the store), made into the assign table of assign.ts.
// The table is built again only when the document or the set of eligible gateways changes. service.ts asks for each device.
import type { GatewayName } from '../protocol/ids.ts';
import { RefusedError } from '../protocol/codes.ts';
import { InvalidDocumentError, ROUTING_KEY, parseRoutingDocument } from '../protocol/routing.ts';
import type { RoutingDocument } from '../protocol/routing.ts';
import type { Clock } from '../runtime/clock.ts';
import type { ConfigSource } from '../runtime/config-source.ts';
import type { Log } from '../runtime/log.ts';
import type { GatewayLease, Store } from '../store/port.ts';
import { assignGateways, buildAssignTable, describeLoads } from './assign.ts';
import type { AssignTable, Candidate, Loads } from './assign.ts';

export interface Directory {
  /** At most three gateways, best first. Throws RefusedError 'no-gateway'. Cost: about 1 µs. */
  assign(key: string, exclude: ReadonlySet<string>): readonly Candidate[];
  /** For readiness, metrics, and whether the store is worth asking. */
  state(): DirectoryState;
  /** Resolves when the leases were asked for once, whatever came of it. */
  readonly polled: Promise<void>;
  stop(): void;
}
export interface DirectoryState {
  /** Null before the first document. */
  readonly revision: string | null;
  readonly eligible: number;
  /** False: the store has not answered for a while and weights alone decide. */
  readonly leasesKnown: boolean;
}

/** A gateway that died is given to clients for at most this long after its lease ended. */
const POLL_MS = 500;
/** Leases older than this say nothing any more; six polls. */
const STALE_MS = 3000;
/** A lease is announced within 2 s of a gateway's start or the store's return. */
const RETRY_AFTER_MS = 1000;
const WEIGHT_MAX = 1000;

/** Watches the document and polls the leases, the first time at once. */
export function openDirectory(options: {
  store: Pick<Store, 'leases'>;
  config: ConfigSource;
  configMap: string;
  cluster: string;
  random: () => number;
  clock: Clock;
  log: Log;
}): Directory {
  const { clock, log } = options;
  let document: RoutingDocument | null = null;
  let leases: readonly GatewayLease[] | null = null;
  let leasesAtMs = 0;
  let turn = Math.floor(options.random() * 1_000_003); // several registries do not start at the same gateway
  let view: View = buildView(null, null, null);

  const refresh = (): void => {
    const before = view;
    if (leases !== null && clock.monotonicMs() - leasesAtMs > STALE_MS) leases = null;
    view = buildView(document, leases, before);
    if (view.table !== before.table)
      log.info(
        { revision: view.revision, eligible: view.table.candidates.length, leasesKnown: leases !== null },
        'assigning',
      );
  };
  const stopWatching = options.config.watch(options.configMap, ROUTING_KEY, (text) => {
    try {
      document = parseDocumentOf(options.cluster, text);
      refresh();
    } catch (error) {
      log.error(
        { problem: String(error), revision: document?.revision },
        'routing document refused; the one before stays',
      );
    }
  });

  let polling = false;
  const poll = async (): Promise<void> => {
    if (polling) return;
    polling = true;
    try {
      leases = await options.store.leases();
      leasesAtMs = clock.monotonicMs();
    } catch (error) {
      log.warn({ problem: String(error) }, 'leases not read');
    } finally {
      polling = false;
      refresh();
    }
  };
  const polled = poll();
  const stopPolling = clock.every(POLL_MS, () => {
    if (polling) refresh(); // a store that hangs lets the leases go stale all the same
    else void poll();
  });

  return {
    assign(key, exclude) {
      const assigned = assignGateways(view.table, {
        key,
        turn: turn++,
        random: options.random,
        exclude,
        loads: view.loads,
      });
      if (assigned.length > 0) return assigned;
      throw new RefusedError('no-gateway', 'no gateway takes connections now', { retryAfterMs: RETRY_AFTER_MS });
    },
    state: () => ({
      revision: document?.revision ?? null,
      eligible: view.table.candidates.length,
      leasesKnown: leases !== null,
    }),
    polled,
    stop() {
      stopWatching();
      stopPolling();
    },
  };
}

function parseDocumentOf(cluster: string, text: string): RoutingDocument {
  const document = parseRoutingDocument(text);
  if (document.cluster === cluster) return document;
  throw new InvalidDocumentError(`cluster: expected ${cluster}, got ${document.cluster}`);
}

interface View {
  readonly revision: string | null;
  /** What the table was built from; the same key needs no new table. */
  readonly key: string;
  readonly table: AssignTable;
  readonly loads: Loads;
}

/** Eligible: weight above 0 and a live lease; where leases are unknown (store down), weight alone. Pure. */
function buildView(
  document: RoutingDocument | null,
  leases: readonly GatewayLease[] | null,
  before: View | null,
): View {
  const connections = new Map<GatewayName, number>(leases?.map((lease) => [lease.gateway, lease.connections]) ?? []);
  const rows = document?.gateways ?? [];
  const eligible = rows.filter((row) => row.weight > 0 && (leases === null || connections.has(row.name)));
  const revision = document?.revision ?? null;
  const key = [revision, ...eligible.map((row) => row.name)].join(' ');
  const table =
    before?.key === key
      ? before.table
      : buildAssignTable(
          document?.strategy ?? 'consistent-hash',
          eligible.map(({ name, weight, capacity, addresses }) => ({
            name,
            url: addresses.ws,
            weight: Math.min(weight, WEIGHT_MAX),
            capacity,
          })),
        );
  return { revision, key, table, loads: describeLoads(table, connections) };
}
