// pull: the client asks for messages of one stream that it missed, where its hello said `offline: pull` or left a lane out.
import type { PullFrame } from '../../protocol/frames.ts';
import type { Connection } from '../connect/connection.ts';

export function takePull(connection: Connection, frame: PullFrame): void {
  void connection.gateway.backlog.pull(connection, frame);
}
