// The store contract on a Redis whose address a Sentinel tells, what becomes of messages; a failover is in redis-faults.test.ts.
import { onSentinel } from './contract-setup.ts';
import { deliveriesSections } from '../contract.ts';

onSentinel(deliveriesSections);
