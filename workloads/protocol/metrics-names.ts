// Names of metrics that other parts depend on: the operator scrapes them, rules, dashboard, adapter and autoscalers name them.
// prom-client registers them in each role's metrics.ts, which has the others, each with its help text.

export const METRIC = {
  /** Gauge, gateway: client connections open now. What autoscaling counts. */
  connections: 'pushcluster_gateway_connections',
  sessions: 'pushcluster_gateway_sessions',
  unacked: 'pushcluster_gateway_unacked_deliveries',
  draining: 'pushcluster_gateway_draining',
  capacity: 'pushcluster_gateway_connections_max',
  /** Gauge, router: routes counted in the store and by gateways (A8). */
  routesStore: 'pushcluster_routes_in_store',
} as const;
