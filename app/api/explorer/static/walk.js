// A straight walk from A to B through the latent space: as a strip of digits, by hand, or played back and forth.

import { Curl } from "./curl.js";
import { Latest } from "./latest.js";
import { Picture } from "./picture.js";
import { between } from "./plane.js";
import { generate, send } from "./request.js";

const STEPS = 12;
const THERE_MS = 4000;

export class Walk {
  ends = [null, null];
  #playing = 0;

  // here() tells the chosen z, onEnds([a, b]) is told when an end moves, onStep(z) where the walker is.
  constructor(part, { notice, here, onEnds, onStep }) {
    Object.assign(this, { along: part("walk-along"), play: part("walk-play"), here, onEnds, onStep });
    this.curl = new Curl(part("curl-walk"));
    this.picture = new Picture(part("strip"), part("save-strip"));
    this.strips = new Latest({
      ask: async (ends) => (await send(strip(ends))).blob(),
      show: (blob, ends) => this.#showStrip(blob, ends),
      fail: notice.from("walk"),
      most: 1,
    });
    ["walk-from", "walk-to"].forEach((name, k) => part(name).addEventListener("click", () => this.#moveEnd(k)));
    this.along.addEventListener("input", () => this.#step());
    this.play.addEventListener("click", () => (this.#playing ? this.stop() : this.#start()));
  }

  start(from, to) {
    this.ends = [from, to];
    this.refresh();
  }

  refresh() {
    this.onEnds(this.ends);
    this.strips.wish(this.ends);
  }

  stop() {
    cancelAnimationFrame(this.#playing);
    this.#playing = 0;
    this.#tell();
  }

  #moveEnd(k) {
    this.stop();
    this.ends = this.ends.with(k, [...this.here()]);
    this.refresh();
  }

  #start() {
    const began = performance.now() - Number(this.along.value) * THERE_MS;
    const frame = (now) => {
      const time = ((now - began) / THERE_MS) % 2;
      this.along.value = time < 1 ? time : 2 - time;
      this.#step();
      this.#playing = requestAnimationFrame(frame);
    };
    this.#playing = requestAnimationFrame(frame);
    this.#tell();
  }

  #tell() {
    this.play.textContent = this.#playing ? "Pause" : "Play";
    this.play.setAttribute("aria-pressed", Boolean(this.#playing));
  }

  #step() {
    this.onStep(between(...this.ends, Number(this.along.value)));
  }

  #showStrip(blob, ends) {
    this.picture.show(blob, "walk.png", `${STEPS} digits on the way from A to B`);
    this.curl.show(strip(ends));
  }
}

function strip([from, to]) {
  const z = Array.from({ length: STEPS }, (_, k) => between(from, to, k / (STEPS - 1)));
  return { ...generate(z, `?columns=${STEPS}`), saves: "walk.png" };
}
