// A picture that the service made: shown, and offered for saving under a name.

export class Picture {
  #address = null;

  constructor(image, link) {
    Object.assign(this, { image, link });
  }

  show(blob, name, alt = this.image.alt) {
    const former = this.#address;
    this.#address = URL.createObjectURL(blob);
    this.blob = blob;
    this.image.src = this.#address;
    this.image.alt = alt;
    Object.assign(this.link, { href: this.#address, download: name, hidden: false });
    if (former) URL.revokeObjectURL(former); // or the page would hold every digit it ever showed
  }
}
