// The normal distribution, which the plane is even in: z stands at the share of the prior that is below it.

// P(Z < z) for Z ~ N(0, 1). Abramowitz and Stegun (1964), 7.1.26: to 1.5e-7, far below a pixel.
export function probability(z) {
  const t = 1 / (1 + 0.3275911 * (Math.abs(z) / Math.SQRT2));
  const series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  const tail = 0.5 * series * Math.exp((-z * z) / 2);
  return z < 0 ? tail : 1 - tail;
}

// The z below which a share p of N(0, 1) lies; the inverse of the above. Newton's method, from the origin outwards.
export function quantile(p) {
  let z = 0;
  for (let step = 0; step < 60; step += 1) {
    const change = (probability(z) - p) / (Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI));
    z -= Math.max(-1, Math.min(1, change)); // in the tails the slope is next to nothing, and a step would fly off
    if (Math.abs(change) < 1e-6) break;
  }
  return z;
}
