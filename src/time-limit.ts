/**
 * Waits for `work`, at most for `ms`. Never rejects: the failure of abandoned work is ignored.
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
