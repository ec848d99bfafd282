// A slider for every coordinate of z; where there are more than two, also which of them the plane shows.

const REACH = 4;

export class Coordinates {
  // onMove(k, value) is told when a slider moves, onAxes([across, down]) when the plane is to show others.
  constructor(element, dimensions, { onMove, onAxes }) {
    Object.assign(this, { onMove, onAxes });
    this.sliders = Array.from({ length: dimensions }, (_, k) => this.#slider(k));
    element.append(...this.sliders.map((slider) => slider.parentElement));
    if (dimensions > 2) element.prepend(this.#axes(dimensions));
  }

  show(z) {
    z.forEach((value, k) => {
      this.sliders[k].value = value;
      this.sliders[k].nextElementSibling.value = signed(value);
    });
  }

  #slider(k) {
    const label = document.createElement("label");
    const name = Object.assign(document.createElement("span"), { textContent: named(k) });
    const input = document.createElement("input");
    Object.assign(input, { type: "range", min: -REACH, max: REACH, step: 0.01 });
    label.append(name, input, document.createElement("output"));
    input.addEventListener("input", () => this.onMove(k, Number(input.value)));
    return input;
  }

  #axes(dimensions) {
    const box = Object.assign(document.createElement("div"), { className: "axes" });
    const choices = ["Across", "Down"].map((name, place) => {
      const select = document.createElement("select");
      for (let k = 0; k < dimensions; k += 1) select.append(new Option(named(k), k, k === place, k === place));
      const label = document.createElement("label");
      label.append(`${name} `, select);
      box.append(label);
      return select;
    });
    let shown = [0, 1];
    choices.forEach((select, place) =>
      select.addEventListener("change", () => {
        // The plane needs two different ones: choosing the other's makes them change places.
        const chosen = Number(select.value);
        shown = shown.map((axis, k) => (k === place ? chosen : axis === chosen ? shown[place] : axis));
        choices.forEach((each, k) => (each.value = shown[k]));
        this.onAxes(shown);
      }),
    );
    return box;
  }
}

// −0.31, with a true minus and always as wide.
export const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;

// z₀, z₁, ... z₁₂
export const named = (k) => `z${[...String(k)].map((digit) => "₀₁₂₃₄₅₆₇₈₉"[digit]).join("")}`;
