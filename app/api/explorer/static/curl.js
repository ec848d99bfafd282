// The requests behind an action as commands to copy.

import { asCurl } from "./request.js";

export class Curl {
  #requests = [];

  constructor(details) {
    this.details = details;
    this.text = Object.assign(document.createElement("pre"), { tabIndex: 0 });
    this.button = Object.assign(document.createElement("button"), { type: "button", textContent: "Copy" });
    details.append(this.text, this.button);
    details.addEventListener("toggle", () => this.#write());
    this.button.addEventListener("click", () => this.#copy());
  }

  show(...requests) {
    this.#requests = requests;
    this.#write();
  }

  // Only while somebody looks: a pointer shows hundreds of requests a minute.
  #write() {
    if (this.details.open) this.text.textContent = this.#requests.map(asCurl).join("\n");
  }

  // Browsers give the clipboard to pages of https and of this computer only; elsewhere the text is left selected.
  async #copy() {
    try {
      await navigator.clipboard.writeText(this.text.textContent);
      this.button.textContent = "Copied";
      setTimeout(() => (this.button.textContent = "Copy"), 1500);
    } catch {
      getSelection().selectAllChildren(this.text);
    }
  }
}
