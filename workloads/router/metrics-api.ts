// Metrics of what stands behind the API: expansions, jobs, dead letters, notices, and the ledger of each app (R12).
import type { Registry } from 'prom-client';
import type { RouterCounts } from './counts.ts';
import type { Gauges } from './gauges.ts';
import type { LedgerAnswer } from './results/ledger.ts';
import { counter, gauge } from './metric.ts';
import type { Row } from './metric.ts';

const LEDGER_STATES = ['accepted', 'acked', 'waiting', 'expired', 'dead', 'cancelled', 'filtered'] as const;

export function addApiMetrics(
  register: Registry,
  { counts, gauges }: { readonly counts: RouterCounts; readonly gauges: { read(): Gauges } },
): void {
  addCounters(register, counts);
  addGauges(register, gauges);
}

function addCounters(register: Registry, counts: RouterCounts): void {
  counter(
    register,
    { name: 'expansions_total', help: 'Lists that were begun and ended here.', labelNames: ['step'] },
    () => [
      [{ step: 'begun' }, counts.expansions.begun],
      [{ step: 'ended' }, counts.expansions.ended],
    ],
  );
  counter(
    register,
    {
      name: 'expanded_recipients_total',
      help: 'Recipients of lists: stored; again (appended before by a run that was cut short); dead (its stream was full); unknown.',
      labelNames: ['outcome'],
    },
    () => Object.entries(counts.expansions.recipients).map(([outcome, value]): Row => [{ outcome }, value]),
  );
  counter(
    register,
    { name: 'jobs_total', help: 'Jobs run here: done, later (put back) or failed.', labelNames: ['kind', 'outcome'] },
    () => pairs(counts.jobs, ['kind', 'outcome']),
  );
  counter(
    register,
    { name: 'dead_letter_actions_total', help: 'Dead letters acted on here.', labelNames: ['action', 'outcome'] },
    () => pairs(counts.deadLetterActions, ['action', 'outcome']),
  );
  counter(register, { name: 'notices_total', help: 'Notices put as jobs.' }, () => [[{}, counts.notices]]);
  counter(register, { name: 'notices_lost_total', help: 'Notices that the store did not take.' }, () => [
    [{}, counts.noticesLost],
  ]);
}

function addGauges(register: Registry, gauges: { read(): Gauges }): void {
  gauge(
    register,
    {
      name: 'pushcluster_ledger_deliveries',
      help: 'Deliveries of an app by what became of them; accepted is the sum of the others. Every router shows the same: take the max.',
      labelNames: ['app', 'state'],
    },
    () =>
      [...gauges.read().ledgers].flatMap(([app, ledger]) =>
        LEDGER_STATES.map((state): Row => [{ app, state }, ledger[state satisfies keyof LedgerAnswer]]),
      ),
  );
  gauge(
    register,
    { name: 'pushcluster_dead_letters', help: 'Dead letters kept. Every router shows the same.', labelNames: ['app'] },
    () => [...gauges.read().deadLetters].map(([app, value]): Row => [{ app }, value]),
  );
  gauge(
    register,
    { name: 'pushcluster_jobs', help: 'Jobs there are, due or not. Every router shows the same.' },
    () => {
      const { jobs } = gauges.read();
      return jobs === null ? [] : [[{}, jobs]];
    },
  );
}

/** `a/b` → value, as rows of two labels. */
function pairs(from: ReadonlyMap<string, number>, [one, other]: readonly [string, string]): readonly Row[] {
  return [...from].map(([key, value]): Row => {
    const [first = '', second = ''] = key.split('/');
    return [{ [one]: first, [other]: second }, value];
  });
}
