// How long the client waits, in milliseconds; `timing` of its options overrides each.

export const TIMING = {
  connect: 15_000, // for the first frame of a new connection
  check: 5_000, // for a sign of life when there is reason to doubt
  backOff: 1_000, // the longest first pause before a retry; it doubles
  backOffLimit: 30_000,
  poll: 2_000, // between two polls
  pollHidden: 15_000, // the same while nobody looks
  better: 10_000, // before a better transport is tried again; it doubles
  betterLimit: 600_000,
  reports: 500, // for the other tabs to say what they want when this one takes over
  leader: null, // of silence before the tab that holds the connection is taken for dead; null: by its heartbeat
};

/** No timer can be longer: a browser would fire it at once. */
export const LONGEST_TIMER = 2 ** 31 - 1;

/** A random part of a pause that doubles with each attempt: clients cut together come back apart. */
export function jittered(attempt, { backOff, backOffLimit }) {
  return Math.random() * Math.min(backOffLimit, backOff * 2 ** attempt);
}

const ticking = new Set();
let ticker = null;

function tick() {
  for (const task of [...ticking]) task();
}

/** Call this each second, together with all others, until the returned function is called. */
export function eachSecond(task) {
  ticking.add(task);
  ticker ??= setInterval(tick, 1000);
  return () => {
    ticking.delete(task);
    if (ticking.size > 0) return;
    clearInterval(ticker);
    ticker = null;
  };
}
