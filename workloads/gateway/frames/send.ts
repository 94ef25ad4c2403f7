// send: a message to other clients, within what the app allows. A router takes it (client-commands.ts); `sent` comes once it is stored.
import type { SendFrame } from '../../protocol/frames.ts';
import type { Connection } from '../connect/connection.ts';

export function takeSend(connection: Connection, frame: SendFrame): void {
  connection.gateway.commands.ask(connection, frame);
}
