// The contract suite of the store port: every implementation's test file calls storeContract with a way to open itself. Each
// section is a file (contract-*.ts); a title is a promise that roles rely on.
import { describe } from 'node:test';
import { deadLettersContract } from './contract-dead-letters.ts';
import { devicesContract } from './contract-devices.ts';
import { endingsContract } from './contract-endings.ts';
import { epochsContract } from './contract-epochs.ts';
import { groupsContract } from './contract-groups.ts';
import { jobsContract } from './contract-jobs.ts';
import { leasesContract } from './contract-leases.ts';
import { ledgerContract } from './contract-ledger.ts';
import { messagesContract } from './contract-messages.ts';
import { overflowContract } from './contract-overflow.ts';
import { readsContract } from './contract-reads.ts';
import { sessionsContract } from './contract-sessions.ts';
import { streamsContract } from './contract-streams.ts';
import { subscriptionsContract } from './contract-subscriptions.ts';
import type { StoreSubject } from './contract-subject.ts';

/** Declares all tests of the contract for one implementation. */
export function storeContract(subject: StoreSubject): void {
  streamsSections(subject);
  deliveriesSections(subject);
}

/** The half about streams, sessions and devices. Real servers take their time, so that the halves are files of their own there. */
export function streamsSections(subject: StoreSubject): void {
  describe(`store contract: ${subject.name}`, { skip: subject.skip ?? false }, () => {
    streamsContract(subject);
    readsContract(subject);
    epochsContract(subject);
    sessionsContract(subject);
    leasesContract(subject);
    devicesContract(subject);
  });
}

/** The half about what becomes of messages. */
export function deliveriesSections(subject: StoreSubject): void {
  describe(`store contract, deliveries: ${subject.name}`, { skip: subject.skip ?? false }, () => {
    endingsContract(subject);
    overflowContract(subject);
    subscriptionsContract(subject);
    ledgerContract(subject);
    deadLettersContract(subject);
    messagesContract(subject);
    jobsContract(subject);
    groupsContract(subject);
  });
}
