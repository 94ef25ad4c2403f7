// group: makes, joins, leaves or shows a group of accounts. A router knows what the app allows (client-commands.ts); answer: `grouped`.
import type { GroupFrame } from '../../protocol/frames.ts';
import type { Connection } from '../connect/connection.ts';

export function takeGroup(connection: Connection, frame: GroupFrame): void {
  connection.gateway.commands.ask(connection, frame);
}
