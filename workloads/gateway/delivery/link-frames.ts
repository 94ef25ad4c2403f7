// What comes over links, by kind: deliveries go on to deliver.ts, questions are answered here, answers go to whoever asked. role.ts starts
// the link server with this.
import type { Command, DeliverDevice, DeliverTopic, LinkFrame, Reply } from '../../protocol/link.ts';
import { InvalidNameError, parseDeviceId, parseMessageId } from '../../protocol/ids.ts';
import type { LinkPeer } from '../../link/server.ts';
import { takeLinkFrame } from './deliver.ts';
import type { Gateway } from '../gateway.ts';
import { hearOnly } from './held-hints.ts';
import type { TraceAnswer, TraceQuestion } from '../trace.ts';

/** Handles one frame of a link. */
export function takeFrameOfLink(gateway: Gateway, peer: LinkPeer, frame: LinkFrame): void {
  switch (frame.kind) {
    case 'command':
      peer.send(answerCommand(gateway, frame));
      return;
    case 'reply':
      return gateway.commands.take(frame);
    case 'feed':
    case 'feed-later':
      return gateway.pages.take(frame);
    default:
      takeDelivery(gateway, peer, frame);
  }
}

/** A delivery, over a link or the bus; `peer` takes the answer. */
export function takeDelivery(gateway: Gateway, peer: Answered, frame: LinkFrame): void {
  const { shedding } = gateway;
  if (frame.kind === 'deliver-many') {
    if (shedding.holdsBack) peer.send(hearOnly(gateway, frame));
    else takeLinkFrame(gateway, peer, frame);
  } else if (frame.kind !== 'deliver-device' && frame.kind !== 'deliver-topic') takeLinkFrame(gateway, peer, frame);
  else if (frame.epoch === null) takeLive(gateway, peer, frame);
  else if (shedding.holdsBack) peer.send(hearOnly(gateway, { ...frame, epoch: frame.epoch }));
  else takeLinkFrame(gateway, peer, frame);
}

/** Of low level it is not sent while load is shed; while intake is paused its sender hears late of it, and so sends less. */
function takeLive(gateway: Gateway, peer: Answered, frame: DeliverDevice | DeliverTopic): void {
  const { shedding, counts } = gateway;
  if (shedding.sheds(frame.record)) {
    counts.shed++;
    counts.hints.slow++;
    shedding.answer(peer, { kind: 'answer', seq: frame.seq, outcome: 'slow', sessions: 0 });
  } else if (shedding.intakePaused) takeLinkFrame(gateway, { send: (answer) => shedding.answer(peer, answer) }, frame);
  else takeLinkFrame(gateway, peer, frame);
}
interface Answered {
  send(frame: LinkFrame): unknown;
}

/** The only question that routers have for a gateway. */
function answerCommand(gateway: Gateway, command: Command): Reply {
  if (command.op !== 'trace') return refused(command, 404, 'not-found', `op: expected trace, got ${command.op}`);
  try {
    const question = parseTraceQuestion(command.body);
    if (command.app === '') return refused(command, 400, 'invalid-request', 'app: expected a name');
    const { name, bootId, trace } = gateway;
    const answer: TraceAnswer = { gateway: name, bootId, events: trace.find(command.app, question) };
    return reply(command, 200, answer);
  } catch (error) {
    if (!(error instanceof InvalidNameError || error instanceof SyntaxError)) throw error;
    return refused(command, 400, 'invalid-request', error.message);
  }
}

function parseTraceQuestion(body: Uint8Array): TraceQuestion {
  const value: unknown = JSON.parse(Buffer.from(body).toString());
  const row = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>;
  if (row['messageId'] !== undefined) return { messageId: parseMessageId(row['messageId'], 'messageId') };
  return { device: parseDeviceId(row['device'], 'device') };
}

function reply({ seq }: Command, status: number, body: unknown): Reply {
  return { kind: 'reply', seq, status, body: Buffer.from(JSON.stringify(body)) };
}
function refused(command: Command, status: number, code: string, message: string): Reply {
  return reply(command, status, { error: { code, message } });
}
