// upstream: a message from the client to its business. It goes to the bus; `taken` comes once the bus has it (upstream.ts).
import type { UpstreamFrame } from '../../protocol/frames.ts';
import type { Connection } from '../connect/connection.ts';

export function takeUpstream(connection: Connection, frame: UpstreamFrame): void {
  connection.gateway.upstream.take(connection, frame);
}
