// The store contract on a real Redis, what becomes of messages.
import { onVolatileRedis } from './contract-setup.ts';
import { deliveriesSections } from '../contract.ts';

onVolatileRedis(deliveriesSections);
