// The store contract on a real Redis, streams and sessions; deliveries are in redis-deliveries.test.ts.
import { onVolatileRedis } from './contract-setup.ts';
import { streamsSections } from '../contract.ts';

onVolatileRedis(streamsSections);
