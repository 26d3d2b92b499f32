/**
 * Waits until `work` is settled, for `ms` at most. Never rejects: an error of `work` is ignored.
 *
 * @returns false when `work` is not settled after `ms`
 */
export function settledWithin(work: Promise<unknown>, ms: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), ms);
    const done = () => {
      clearTimeout(timer);
      resolve(true);
    };
    work.then(done, done);
  });
}
