// What went wrong, said in one place until it is over; and waiting for a service that has gone.

import { send } from "./request.js";

const PATIENCE_MS = 1500;

export class Notice {
  #said = new Map(); // what, by who said it
  #waiting = false;

  // onBack() is told once the service answers again.
  constructor(element, onBack) {
    Object.assign(this, { element, onBack });
    [this.text, this.button] = element.children;
    this.button.addEventListener("click", () => this.#forget());
  }

  // A handler of failures for one part of the page.
  from(who) {
    return (error) => {
      if (error.lost || error.busy) this.#wait(error);
      else this.#say(who, error.message);
    };
  }

  clear(who) {
    if (this.#said.delete(who)) this.#write();
  }

  #forget() {
    this.#said.clear();
    this.#write();
  }

  #say(who, what) {
    this.#said.set(who, what);
    this.#write();
  }

  #write() {
    this.text.textContent = [...new Set(this.#said.values())].join(" ");
    this.element.hidden = !this.#said.size;
  }

  async #wait(error) {
    this.#say("connection", error.busy ? "The service is busy. Trying again…" : error.message);
    if (this.#waiting) return;
    this.#waiting = true;
    do await new Promise((resolve) => setTimeout(resolve, PATIENCE_MS));
    while (!(await answers()));
    this.#waiting = false;
    this.clear("connection");
    this.onBack();
  }
}

async function answers() {
  try {
    return Boolean(await send({ path: "readyz" }));
  } catch {
    return false;
  }
}
