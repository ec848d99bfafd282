// The digits all over the plane, as one picture that covers it to the very edge.

import { quantile } from "./normal.js";
import { generate, manifold } from "./request.js";

const SIDE = 21;
// Tiles are centred on their quantiles: from half a tile to one minus that, their edges meet those of the plane.
const LOW = 0.5 / SIDE;

// What to ask for the plane through `z` along `axes`.
export function ofPlane(z, axes) {
  const through = z.every((value, k) => value === 0 || axes.includes(k));
  if (axes.length === 2 && through) {
    const dims = z.length > 2 ? `&dims=${axes}` : "";
    return manifold(`n=${SIDE}&low=${LOW.toFixed(6)}&high=${(1 - LOW).toFixed(6)}${dims}`);
  }
  return { ...generate(tiles(z, axes), `?columns=${SIDE}`), saves: "manifold.png" };
}

function tiles(z, axes) {
  const quantiles = Array.from({ length: SIDE }, (_, k) => Number(quantile((k + 0.5) / SIDE).toFixed(4)));
  return quantiles.flatMap((down) =>
    quantiles.map((across) => {
      const tile = [...z];
      axes.forEach((axis, k) => (tile[axis] = k ? down : across));
      return tile;
    }),
  );
}
