// The gateway's admin port: what the operator asks and is told. HTTP, JSON, `Authorization: Bearer <admin secret>` on /v1/*.
//   GET /healthz · GET /readyz · GET /metrics      (no credential; not reachable from client ports)
//   GET /v1/state · PUT /v1/drain (DrainRequest) · DELETE /v1/drain · PUT /v1/routing (RoutingDocument)
import type { BootId, GatewayName } from './ids.ts';

export interface DrainRequest {
  /** Names this drain; repeating a PUT with the same generation and values changes nothing, other values update it. */
  readonly generation: string;
  readonly reason: 'drain' | 'rollout' | 'rebalance';
  /** Connections asked to leave per second, above 0; this gateway's share of the reconnect budget. */
  readonly rate: number;
  /** When those still here are closed, ms since 1970. */
  readonly deadlineMs: number;
  /** Where clients shall go, addresses best first. */
  readonly targets: readonly string[];
  /** With `rebalance`: stop when this many have been asked. Otherwise everyone leaves. */
  readonly count?: number;
}

export interface DrainState {
  readonly generation: string;
  readonly startedAtMs: number;
  /** Sessions asked so far, and those still here. */
  readonly asked: number;
  readonly left: number;
  readonly ratePerSecond: number;
  readonly deadlineMs: number;
  /** Null when nothing is left. */
  readonly etaMs: number | null;
}

export interface GatewayState {
  readonly name: GatewayName;
  readonly bootId: BootId;
  readonly state: 'starting' | 'active' | 'draining' | 'drained' | 'stopping';
  readonly connections: number;
  readonly sessions: number;
  /** Durable deliveries written to a connection and not yet acked. */
  readonly unacked: number;
  readonly routingRevision: string | null;
  readonly drain: DrainState | null;
  /** Sessions opened by ticket and by token since boot. */
  readonly resumed: number;
  readonly opened: number;
  /** As this gateway last found them; a bus that answers and does not take what it should is `away` too; `none`: none is configured. */
  readonly store: 'reachable' | 'away';
  readonly bus: 'reachable' | 'away' | 'none';
  /** Load that is shed, 0 (none) to 3 (all live messages, and hints of durable ones). */
  readonly shedding: number;
  /** Deliveries are answered `slow` for want of memory or bandwidth (B8). */
  readonly intakePaused: boolean;
  /** Links of drainers that stand. */
  readonly drainers: number;
  /** Sessions whose backlog is being fed. */
  readonly backlogs: number;
  /** Sessions opened by their signature alone, which the store is still to hear of (R13). */
  readonly provisional: number;
}
