// The canvas one draws on: light strokes on dark, as the model knows them, by mouse, finger, pen or keys.

const PEN = 22; // of 280: after scaling as thick as the strokes of MNIST
const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const STEP = 10;

export class Drawing {
  empty = true;
  #pen = [140, 140]; // where the keys have it
  #down = false;

  // onStroke() is told while a stroke grows, onRest() when it has ended, onClear() when all is gone.
  constructor(canvas, { onStroke, onRest, onClear }) {
    Object.assign(this, { canvas, onStroke, onRest, onClear });
    this.context = canvas.getContext("2d");
    canvas.addEventListener("pointerdown", (event) => this.#begin(event));
    canvas.addEventListener("pointermove", (event) => this.#go(event));
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => this.#end());
    canvas.addEventListener("keydown", (event) => this.#key(event));
    this.#wipe();
  }

  clear() {
    this.#wipe();
    this.onClear();
  }

  // A given picture, fitted into the canvas; what is sent is the picture's own file.
  async show(blob) {
    const image = await createImageBitmap(blob);
    this.#wipe();
    const { width, height } = this.canvas;
    const scale = Math.min(width / image.width, height / image.height);
    this.context.imageSmoothingEnabled = scale < 1;
    this.context.drawImage(
      image,
      (width - image.width * scale) / 2,
      (height - image.height * scale) / 2,
      image.width * scale,
      image.height * scale,
    );
    this.empty = false;
  }

  file() {
    return new Promise((resolve) => {
      this.canvas.toBlob((blob) => resolve({ blob, name: "drawing.png" }), "image/png");
    });
  }

  #wipe() {
    this.context.fillStyle = "#000";
    this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    this.empty = true;
    this.#down = false;
  }

  #begin(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.#down = true;
    this.#pen = this.#under(event);
    this.#strokeTo(this.#pen);
  }

  // Between two frames a pen passes several places; a curve through all of them is round.
  #go(event) {
    if (!this.#down || !event.buttons) return;
    const passed = event.getCoalescedEvents?.() ?? [];
    for (const each of passed.length ? passed : [event]) this.#strokeTo(this.#under(each));
  }

  #end() {
    if (!this.#down) return;
    this.#down = false;
    this.onRest();
  }

  #strokeTo(place) {
    Object.assign(this.context, { lineWidth: PEN, lineCap: "round", lineJoin: "round", strokeStyle: "#fff" });
    this.context.beginPath();
    this.context.moveTo(...this.#pen);
    this.context.lineTo(place[0] + 0.01, place[1]); // a line of no length would not be drawn, and a tap is a dot
    this.context.stroke();
    this.#pen = place;
    this.empty = false;
    this.onStroke();
  }

  #key(event) {
    const direction = KEYS[event.key];
    if (direction) this.#shift(direction);
    else if (event.key === " ") this.#toggle();
    else if (event.key === "Delete") this.clear();
    else return;
    event.preventDefault(); // the page would scroll
  }

  #shift(direction) {
    const place = this.#pen.map((value, k) => Math.min(270, Math.max(10, value + STEP * direction[k])));
    if (this.#down) this.#strokeTo(place);
    this.#pen = place;
  }

  #toggle() {
    if (this.#down) {
      this.#end();
    } else {
      this.#down = true;
      this.#strokeTo(this.#pen);
    }
  }

  #under(event) {
    const box = this.canvas.getBoundingClientRect();
    const { width, height } = this.canvas;
    return [((event.clientX - box.left) * width) / box.width, ((event.clientY - box.top) * height) / box.height];
  }
}
