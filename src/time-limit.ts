/**
 * Waits for `work`, but no longer than `ms`. Never rejects: a failure of work that is being given up is of no more use.
 *
 * @returns false when the time was over first
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
