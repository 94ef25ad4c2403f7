// The store contract on a real Redis Cluster of three masters, what becomes of messages.
import { onCluster } from './contract-setup.ts';
import { deliveriesSections } from '../contract.ts';

onCluster(deliveriesSections);
