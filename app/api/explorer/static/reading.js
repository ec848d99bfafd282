// What the model makes of a picture: its place in the latent space at once, its reconstruction and loss at rest.

import { named, signed } from "./coordinates.js";
import { Curl } from "./curl.js";
import { Latest } from "./latest.js";
import { Picture } from "./picture.js";
import { encode, pair, reconstruct, send } from "./request.js";

export class Reading {
  mean = null;

  // onPlace({ mean, deviation } or null) is told where the picture lies; `usual` is the test set's mean loss, if known.
  constructor(part, { notice, usual, onPlace }) {
    Object.assign(this, { box: part("reading"), measures: part("measures"), usual, onPlace, notice });
    this.curl = new Curl(part("curl-encode"));
    this.pair = new Picture(part("pair"), part("save-pair"));
    const fail = (error) => this.#fail(error);
    this.places = new Latest({ ask: place, show: (answer) => this.growing && this.#showPlace(answer), fail, most: 1 });
    this.looks = new Latest({ ask: look, show: (answer, file) => this.#showLook(answer, file), fail, most: 1 });
  }

  // While a stroke grows; `file` makes the picture as it is once its turn has come.
  glance(file) {
    this.growing = true;
    this.picture = null; // what was read before is no longer what is drawn
    this.places.wish(file);
  }

  // Once the picture is whole.
  read(picture) {
    this.growing = false;
    this.picture = picture;
    this.looks.wish(picture);
  }

  again() {
    if (this.picture) this.read(this.picture);
  }

  forget() {
    this.growing = false;
    this.picture = null;
    this.notice.clear("picture");
    this.#hide();
  }

  // What is shown must not pass for the reading of a picture that was refused.
  #fail(error) {
    this.notice.from("picture")(error);
    if (!error.lost && !error.busy) this.#hide();
  }

  #hide() {
    this.mean = null;
    this.box.hidden = true;
    this.onPlace(null);
  }

  #showPlace({ z_mean: [mean], z_log_var: [logVariance] }) {
    this.mean = mean;
    this.notice.clear("picture");
    this.onPlace({ mean, deviation: logVariance.map((value) => Math.exp(value / 2)) });
  }

  #showLook({ told, seen }, picture) {
    if (picture !== this.picture) return; // cleared, or drawn on, in the meantime
    this.#showPlace(told);
    this.pair.show(seen, "pair.png", "The prepared picture, and beside it the model's reconstruction");
    this.curl.show(encode(picture), reconstruct(picture), pair(picture));
    this.measures.replaceChildren(...this.#rows(told));
    this.box.hidden = false;
  }

  #rows({ z_mean: [mean], z_log_var: [logVariance], loss: [loss], xent: [xent], kl: [kl] }) {
    const places = mean
      .slice(0, 4)
      .map((value, k) => [named(k), `${signed(value)} ± ${Math.exp(logVariance[k] / 2).toFixed(2)}`]);
    const usual = this.usual ? [["usual", `${this.usual.toFixed(1)} nats, the mean of the test digits`]] : [];
    return [
      ...places,
      ["loss", `${loss.toFixed(1)} nats: ${xent.toFixed(1)} cross-entropy + ${kl.toFixed(1)} divergence`],
      ...usual,
    ].flatMap(([name, value]) => [term("dt", name), term("dd", value)]);
  }
}

const place = async (file) => (await send(encode(await file()))).json();

async function look(picture) {
  const [told, seen] = await Promise.all([send(reconstruct(picture)), send(pair(picture))]);
  return { told: await told.json(), seen: await seen.blob() };
}

const term = (tag, textContent) => Object.assign(document.createElement(tag), { textContent });
