// The latent plane: the digits and the test set's points under the pointer, and marks for what was chosen or encoded.
//
// Two coordinates of z, `axes`, vary over it, each even in the prior's probability: the second grows downwards, as in
// /manifold.png. A single axis leaves the height without a meaning.

import { named } from "./coordinates.js";
import { probability, quantile } from "./normal.js";

const EDGE = 0.0005; // the border itself would be infinitely far away
const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const STEP = 0.01; // of the side, with a key
const LEAP = 0.1;
const SIGMAS = 2;
const TICKS = [-2, -1, 0, 1, 2];

export class Plane {
  chosen = []; // the z that one stays at
  hovered = null; // the z under the pointer, while it only looks
  encoded = null; // { mean, deviation } of the latest picture
  walk = [null, null];
  #frame = 0;

  // onLook(z) is told while the pointer moves over the plane, onChoose(z) when a point is kept.
  constructor(element, { points, onLook, onChoose }) {
    Object.assign(this, { element, points, onLook, onChoose, axes: [0, 1] });
    [this.image, this.ground, this.marks] = element.children;
    element.addEventListener("pointerdown", (event) => this.#press(event));
    element.addEventListener("pointermove", (event) => this.#move(event));
    element.addEventListener("pointerleave", () => this.#leave());
    element.addEventListener("keydown", (event) => this.#key(event));
    new ResizeObserver(() => this.#resize()).observe(element);
    this.#addTicks();
  }

  // Draws the marks anew, at most once a frame.
  refresh() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#drawMarks();
    });
  }

  // "digits", "points" or "both".
  show(layer) {
    this.image.hidden = layer === "points";
    this.ground.hidden = layer === "digits";
    this.element.classList.toggle("both", layer === "both");
  }

  showAxes(axes) {
    this.axes = axes;
    this.names.forEach((name, k) => (name.textContent = axes[k] === undefined ? "" : named(axes[k])));
    this.#resize();
  }

  get size() {
    return [this.element.clientWidth, this.element.clientHeight];
  }

  // Where a z stands, in pixels.
  place = (z) => {
    const [across, down] = this.axes;
    const [width, height] = this.size;
    return [probability(z[across]) * width, down === undefined ? height / 2 : probability(z[down]) * height];
  };

  // The z at a pixel; coordinates other than the axes are those of the chosen z.
  at([x, y]) {
    const [width, height] = this.size;
    const shares = [x / width, y / height].map(inside);
    const z = [...this.chosen];
    this.axes.forEach((axis, k) => (z[axis] = rounded(quantile(shares[k]))));
    return z;
  }

  #press(event) {
    this.element.setPointerCapture(event.pointerId);
    this.hovered = null;
    this.onChoose(this.#under(event));
  }

  #move(event) {
    const z = this.#under(event);
    if (event.buttons) {
      this.onChoose(z);
    } else if (event.pointerType === "mouse") {
      this.hovered = z;
      this.onLook(z);
      this.refresh();
    }
  }

  #leave() {
    if (!this.hovered) return;
    this.hovered = null;
    this.onLook(this.chosen);
    this.refresh();
  }

  #key(event) {
    const direction = KEYS[event.key];
    if (!direction && event.key !== "Home") return;
    event.preventDefault(); // the page would scroll
    this.hovered = null;
    this.onChoose(direction ? this.#stepped(direction, event.shiftKey ? LEAP : STEP) : this.chosen.map(() => 0));
  }

  #stepped(direction, share) {
    const z = [...this.chosen];
    this.axes.forEach((axis, k) => {
      if (!direction[k]) return;
      const next = probability(z[axis]) + direction[k] * share;
      z[axis] = rounded(quantile(inside(next)));
    });
    return z;
  }

  #under(event) {
    const box = this.element.getBoundingClientRect();
    return this.at([event.clientX - box.left, event.clientY - box.top]);
  }

  #resize() {
    this.points.draw(this.#sharp(this.ground), this.size, this.place);
    this.#drawMarks();
  }

  // A clean canvas with a pixel for every pixel of the screen, drawn on in the units of the page.
  #sharp(canvas) {
    const ratio = window.devicePixelRatio;
    [canvas.width, canvas.height] = this.size.map((side) => side * ratio);
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    return context;
  }

  #drawMarks() {
    if (!this.chosen.length) return;
    const context = this.#sharp(this.marks);
    this.#drawWalk(context);
    if (this.encoded) this.#drawEncoded(context);
    if (this.hovered) ring(context, this.place(this.hovered), 6, "#fff");
    this.#drawChosen(context);
  }

  #drawChosen(context) {
    const at = this.place(this.chosen);
    ring(context, at, 11, "#ffb224", 2.5);
    dot(context, at, 2, "#ffb224");
  }

  // Straight in the latent space, hence bent on a plane that is even in probability.
  #drawWalk(context) {
    const [from, to] = this.walk;
    if (from && to) {
      const steps = Array.from({ length: 41 }, (_, k) => this.place(between(from, to, k / 40)));
      line(context, steps, "#fff", [5, 4]);
    }
    this.walk.forEach((z, k) => z && letter(context, this.place(z), "AB"[k]));
  }

  // The contour at two standard deviations of q(z | image), point for point, for the same reason.
  #drawEncoded(context) {
    const { mean, deviation } = this.encoded;
    const contour = Array.from({ length: 65 }, (_, k) => {
      const turn = [Math.cos, Math.sin].map((f) => f((2 * Math.PI * k) / 64));
      const z = [...mean];
      this.axes.forEach((axis, i) => (z[axis] += SIGMAS * deviation[axis] * turn[i]));
      return this.place(z);
    });
    context.fillStyle = "rgb(61 214 245 / 0.25)";
    line(context, contour, "#3dd6f5");
    context.fill();
    dot(context, this.place(mean), 4, "#3dd6f5");
  }

  // Numbers along both sides, and the axis's name between two of them.
  #addTicks() {
    this.names = Object.entries({ across: "left", down: "top" }).map(([name, side]) => {
      const box = this.element.parentElement.querySelector(`.ticks.${name}`);
      const add = (text, z) => {
        const tick = Object.assign(document.createElement("span"), { textContent: text });
        tick.style[side] = `${100 * probability(z)}%`;
        box.append(tick);
        return tick;
      };
      for (const z of TICKS) add(String(z).replace("-", "−"), z);
      return add("", -0.44);
    });
  }
}

export const between = (from, to, share) => from.map((value, k) => rounded(value + share * (to[k] - value)));

const inside = (share) => Math.min(1 - EDGE, Math.max(EDGE, share));

// A thousandth is less than a pixel, and keeps the requests readable.
const rounded = (value) => Math.round(value * 1000) / 1000 || 0;

// Every mark has a dark edge, since it may stand on a white stroke.
function stroke(context, color, width = 2) {
  context.lineWidth = width + 2;
  context.strokeStyle = "rgb(10 12 16 / 0.75)";
  context.stroke();
  context.lineWidth = width;
  context.strokeStyle = color;
  context.stroke();
}

function ring(context, [x, y], radius, color, width = 2) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  stroke(context, color, width);
}

function dot(context, [x, y], radius, color) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  stroke(context, color, 1);
  context.fillStyle = color;
  context.fill();
}

function line(context, places, color, dashes = []) {
  context.beginPath();
  places.forEach(([x, y]) => context.lineTo(x, y));
  context.setLineDash(dashes);
  stroke(context, color);
  context.setLineDash([]);
}

function letter(context, [x, y], text) {
  dot(context, [x, y], 9, "#fff");
  context.fillStyle = "#14161b";
  context.font = "700 12px system-ui, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(text, x, y + 0.5);
}
