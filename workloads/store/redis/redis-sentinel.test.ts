// The store contract on a Redis whose address a Sentinel tells, streams and sessions; a failover is in redis-faults.test.ts.
import { onSentinel } from './contract-setup.ts';
import { streamsSections } from '../contract.ts';

onSentinel(streamsSections);
