// What stands behind the API, wired: the push path, jobs and their handlers, results, dead letters, groups, the ledger, and the table of
// commands over all of it. parts.ts has the router's other parts.
import type { Bus } from '../../bus/port.ts';
import type { Clock } from '../../runtime/clock.ts';
import { RefusedError } from '../../protocol/codes.ts';
import type { Log } from '../../runtime/log.ts';
import { StoreUnavailableError } from '../../store/port.ts';
import type { JobKind, Store } from '../../store/port.ts';
import type { Authorizer } from './authorize.ts';
import { cancelLists } from '../results/cancel.ts';
import { ClientRates } from '../doors/client-rate.ts';
import { Commands } from './commands.ts';
import { clientCommands } from './commands/client.ts';
import { deadLetterCommands } from './commands/dead-letters.ts';
import { deviceCommands } from './commands/devices.ts';
import { groupCommands } from './commands/groups.ts';
import { ledgerCommands } from './commands/ledger.ts';
import { messageCommands } from './commands/messages.ts';
import { pushCommand } from './commands/push.ts';
import type { RouterCounts } from '../counts.ts';
import { walkLetters } from '../results/dead-letters.ts';
import type { DeadLettersOptions } from '../results/dead-letters.ts';
import { expandLists, expandSpans } from '../push/expansion.ts';
import { watchGauges } from '../gauges.ts';
import type { Gauges } from '../gauges.ts';
import type { Hints } from '../delivery/hints.ts';
import type { DeviceId } from '../../protocol/ids.ts';
import type { Intake } from '../intake.ts';
import { startJobs } from '../push/jobs.ts';
import { Journal } from '../push/journal.ts';
import type { JournalEntry } from '../push/journal-entry.ts';
import type { JobHandler } from '../push/jobs.ts';
import { Ledgers } from '../results/ledger.ts';
import type { LivePath } from '../delivery/live-path.ts';
import { DeviceSender } from '../push/devices.ts';
import { openIds } from '../push/ids.ts';
import { Notices } from '../push/notices.ts';
import type { NoticedMessage } from '../push/notices.ts';
import { sendScheduled } from '../push/scheduled.ts';
import { openPusher } from '../push/push.ts';
import type { Quotas } from './quota.ts';
import { Results } from '../results/results.ts';

export interface ApiPartsOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  /** 0 ≤ x < 1 */
  readonly random: () => number;
  readonly authorizer: Authorizer;
  readonly quotas: Quotas;
  readonly hints: Hints;
  readonly live: Pick<LivePath, 'toTopic' | 'toDevice'>;
  readonly counts: RouterCounts;
  readonly bus: Bus | null;
  readonly intake: Pick<Intake, 'assertOpen'>;
}

export interface ApiParts {
  readonly commands: Commands;
  readonly journal: Journal | null;
  readonly gauges: { read(): Gauges };
  /** Who runs jobs of a kind that is not the API's own (`notice`). */
  handle(kind: JobKind, handler: JobHandler): void;
  /** A message waits for devices that seemed to be online. */
  waiting(of: NoticedMessage, devices: readonly DeviceId[]): void;
  /** There may be a job to run now. */
  poke(): void;
  /** Resolves when the jobs under way have ended or are put back. */
  stop(): Promise<void>;
}

export function openApiParts(options: ApiPartsOptions): ApiParts {
  const { store, clock, log, random, authorizer, hints, counts, quotas, live, bus, intake } = options;
  const onJob = (): void => jobs.poke();
  const newId = openIds(clock);
  const nowMs = (): number => clock.nowMs();
  const notices = new Notices({ store, appOf: (app) => authorizer.app(app), nowMs, counts, onPut: onJob });
  const sender = new DeviceSender({ store, hints, notices, counts });
  const journal = bus === null ? null : new Journal({ bus, store, clock, log, random, counts, replay });
  const pusher = openPusher({ store, hints, live, sender, newId, nowMs, intake, journal, counts, random, onJob });
  async function replay(entry: JournalEntry): Promise<() => Promise<void>> {
    const app = authorizer.app(entry.app);
    // Before the first document nobody knows which apps there are: again later, as without a store.
    if (app === null && authorizer.revision() === null) throw new StoreUnavailableError('the apps are not known yet');
    if (app === null) throw new RefusedError('app-unknown', `app: ${entry.app} is gone`);
    return await pusher.replay(app, entry);
  }
  const deadLetters: DeadLettersOptions = {
    store,
    hints,
    newId,
    nowMs,
    monotonicMs: () => clock.monotonicMs(),
    counts,
    onJob,
  };
  const expansion = { store, hints, notices, counts, onJob };
  const handlers: { [K in JobKind]?: JobHandler } = {
    expand: expandLists(expansion),
    span: expandSpans(expansion),
    send: sendScheduled({ store, hints, sender, onJob }),
    cancel: cancelLists({ store, onJob }),
    'dead-letters': walkLetters(deadLetters),
  };
  const jobs = startJobs({ store, handlers, clock, log, random, counts });
  const ledgers = new Ledgers(store, clock);
  const gauges = watchGauges({ store, ledgers, apps: () => authorizer.apps(), clock, log, random, counts });
  const results = new Results(store, () => clock.monotonicMs());
  const trace = { store, hints, results };
  const push = { quotas, pusher, ledgers, clock, store };
  return {
    commands: new Commands({
      business: {
        push: pushCommand(push),
        ...messageCommands({ results, cancel: { store, onJob }, trace }),
        ...deviceCommands({ presence: { store, gateways: hints.gateways }, trace, store }),
        ...deadLetterCommands(deadLetters),
        ...groupCommands(store),
        ...ledgerCommands(ledgers),
      },
      client: clientCommands({ ...push, rates: new ClientRates() }),
    }),
    journal,
    gauges,
    handle: (kind, handler) => void (handlers[kind] = handler),
    waiting(of, devices) {
      notices.waiting(of, devices).catch(() => (counts.noticesLost += devices.length));
    },
    poke: onJob,
    async stop() {
      gauges.stop();
      await journal?.stop();
      await jobs.stop();
    },
  };
}
