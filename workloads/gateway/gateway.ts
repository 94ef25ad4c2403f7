// The gateway's parts, as every file of this folder is handed them. role.ts builds them once for each running gateway; there is no state
// outside of it, so that several gateways live in one process.
import type { BootId, GatewayName } from '../protocol/ids.ts';
import type { LinkPeer } from '../link/server.ts';
import type { Bus } from '../bus/port.ts';
import type { Clock } from '../runtime/clock.ts';
import type { LinkRole } from '../link/handshake.ts';
import type { Keys } from '../runtime/credentials.ts';
import type { Log } from '../runtime/log.ts';
import type { TimeWheel } from '../runtime/wheel.ts';
import type { gatewaySettings } from '../settings/gateway.ts';
import type { SettingsOf } from '../settings/setting.ts';
import type { Store } from '../store/port.ts';
import type { Admission } from './connect/admission.ts';
import type { AttemptsFlush } from './endings/attempts.ts';
import type { Backlog } from './backlog/backlog.ts';
import type { ClientCommands } from './upstream/client-commands.ts';
import type { ConnectionEvents } from './connect/connection.ts';
import type { Counts } from './counts.ts';
import type { CursorFlush } from './endings/cursor-flush.ts';
import type { DeadLetters } from './endings/dead-letters.ts';
import type { Departures } from './connect/departures.ts';
import type { Directory } from './connect/directory.ts';
import type { Drain } from './drain/drain.ts';
import type { Filters } from './delivery/filter.ts';
import type { Headroom } from './load/headroom.ts';
import type { Outbox } from './delivery/outbox.ts';
import type { PageSource } from './backlog/page-source.ts';
import type { Peers } from './connect/peers.ts';
import type { PresenceNotices } from './connect/presence-notices.ts';
import type { Provisional } from './connect/provisional.ts';
import type { ReadQueue } from './delivery/read-queue.ts';
import type { Satisfied } from './endings/satisfied.ts';
import type { Settles } from './endings/settles.ts';
import type { Shedding } from './load/shedding.ts';
import type { StreamReader } from './delivery/stream-reader.ts';
import type { Targets } from './connect/targets.ts';
import type { Trace } from './trace.ts';
import type { Upstream } from './upstream/upstream.ts';
import type { Vitals } from './load/vitals.ts';

export type GatewaySettings = SettingsOf<typeof gatewaySettings>;

/** `starting` until the first lease renewal; what GatewayState shows follows from it and from the drain. */
export type Life = 'starting' | 'active' | 'stopping';

/** What a gateway is given from outside. */
export interface GatewayDeps {
  readonly store: Store;
  /** Null: no bus; upstream frames are refused. */
  readonly bus: Bus | null;
  readonly keys: Keys;
  readonly clock: Clock;
  readonly log: Log;
  /** 0 ≤ x < 1. */
  readonly random: () => number;
  /** Default: those of this process. */
  readonly vitals?: Vitals;
}

export interface Gateway extends GatewayDeps {
  readonly settings: GatewaySettings;
  readonly name: GatewayName;
  readonly bootId: BootId;
  readonly counts: Counts;
  readonly wheel: TimeWheel;
  readonly directory: Directory;
  readonly outbox: Outbox;
  readonly events: ConnectionEvents;
  readonly headroom: Headroom;
  readonly admission: Admission;
  readonly targets: Targets;
  readonly reads: ReadQueue;
  readonly reader: StreamReader;
  readonly settles: Settles;
  readonly satisfied: Satisfied;
  readonly cursorFlush: CursorFlush;
  readonly attempts: AttemptsFlush;
  readonly deadLetters: DeadLetters;
  readonly filters: Filters;
  readonly departures: Departures;
  readonly upstream: Upstream;
  readonly peers: Peers;
  readonly drain: Drain;
  readonly trace: Trace;
  readonly pages: PageSource;
  readonly backlog: Backlog;
  readonly provisional: Provisional;
  readonly commands: ClientCommands;
  readonly shedding: Shedding;
  readonly presence: PresenceNotices;
  readonly state: {
    life: Life;
    /** Stopped or killed: what would be tried again is not. */
    ended: boolean;
    /** The bus has let the consumer of broadcasts in. */
    broadcasts: () => boolean;
    /** As the last renewal of the lease found it. */
    storeReachable: boolean;
    /** Those whose links stand, of all roles or of one. */
    peers: (role?: LinkRole) => readonly LinkPeer[];
  };
}
