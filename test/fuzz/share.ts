/**
 * Cases of all targets of test/fuzz together. `npm run fuzz` has ten
 * million, `npm test` a short share of them.
 */
const TOTAL = Number(process.env.FUZZ_CASES ?? 250_000);
export const SEED = Number(process.env.FUZZ_SEED ?? 1);

/** The cases of a target: cheap ones get many, costly ones few. @param parts of a thousand */
export const casesOf = (parts: number): number => Math.max(1, Math.round((TOTAL * parts) / 1_000));
