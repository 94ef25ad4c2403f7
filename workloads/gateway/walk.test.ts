import { test } from 'node:test';
import { Walk } from './walk.ts';

const WALKS = 5;

for (let i = 0; i < WALKS; i++)
  test(`walk ${i + 1}: nothing is lost, doubled or out of order, and the ledger is exact`, async () => {
    await new Walk(Math.floor(Math.random() * 2 ** 31)).run();
  });
