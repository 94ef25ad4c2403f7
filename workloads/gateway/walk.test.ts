import { test } from 'node:test';
import { Walk } from './walk.ts';

/** SEED=n walks that one. */
const WALKS = 5;

for (let i = 0; i < WALKS; i++)
  test(`walk ${i + 1}: nothing is lost, doubled or out of order, and the ledger is exact`, async () => {
    await new Walk(Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31))).run();
  });
