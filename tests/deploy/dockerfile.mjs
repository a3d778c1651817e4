// Checks a Dockerfile: prints what is wrong with it, and ends with 1 if anything is.
//
//   dockerfile.mjs FILE

import { readFileSync } from 'node:fs';
import { load } from '../clients/steps.mjs';

const { validate } = load('dockerfile-utils');
const file = process.argv[2];
const problems = validate(readFileSync(file, 'utf8'));
for (const { message, range } of problems) console.log(`${file}:${range.start.line + 1}: ${message}`);
process.exitCode = problems.length ? 1 : 0;
