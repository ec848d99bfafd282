// The test set's latent points by class: how they look on the plane, and which class lives around a point.

// Ten that stay apart on black. For eyes that see some of them alike, each class also has its number on the plane.
const COLORS = [
  ...["#6ea8fe", "#ffa94d", "#63e6be", "#ff8787", "#b197fc"],
  ...["#e0b08c", "#f783ac", "#ced4da", "#d8f15c", "#3bc9db"],
];
const NEIGHBOURS = 10;
const ROOM = 30; // square pixels for a point: on a small plane fewer are drawn, or it would be a carpet

export class Points {
  constructor({ z_mean, labels }) {
    this.z = z_mean;
    this.labels = labels;
    this.classes = [...new Set(labels ?? [])].sort((a, b) => a - b);
  }

  get any() {
    return this.z.length > 0;
  }

  // Onto a canvas of a size in pixels of the page; `place` says where a z stands.
  draw(context, [width, height], place) {
    const size = Math.max(1.6, width / 300);
    const step = Math.max(1, Math.round((this.z.length * ROOM) / (width * height)));
    context.globalAlpha = 0.75;
    for (let i = 0; i < this.z.length; i += step) {
      const [x, y] = place(this.z[i]);
      context.fillStyle = this.#color(this.labels?.[i]);
      context.fillRect(x - size / 2, y - size / 2, size, size);
    }
    context.globalAlpha = 1;
    for (const label of this.classes) this.#drawName(context, label, place);
  }

  // What most of the nearest points are, or null where points have no class.
  around(z) {
    if (!this.labels || !this.any) return null;
    const nearest = this.#nearest(z);
    const counts = new Map();
    for (const { label } of nearest) counts.set(label, (counts.get(label) ?? 0) + 1);
    const [label, count] = [...counts].reduce((most, each) => (each[1] > most[1] ? each : most));
    return { label, count, of: nearest.length };
  }

  // In one pass: sorting ten thousand points would take longer than a frame.
  #nearest(z) {
    const nearest = [];
    this.z.forEach((other, i) => {
      const distance = other.reduce((sum, value, k) => sum + (value - z[k]) ** 2, 0);
      if (nearest.length === NEIGHBOURS && distance >= nearest[NEIGHBOURS - 1].distance) return;
      nearest.push({ distance, label: this.labels[i] });
      nearest.sort((a, b) => a.distance - b.distance).splice(NEIGHBOURS);
    });
    return nearest;
  }

  #color(label = 0) {
    const place = Math.max(0, this.classes.indexOf(label));
    // Beyond ten classes, hues a golden angle apart: neighbours differ, however many there are.
    return COLORS[place] ?? `hsl(${(place * 137.5) % 360} 75% 70%)`;
  }

  #drawName(context, label, place) {
    const mine = this.z.filter((_, i) => this.labels[i] === label).map(place);
    const middle = (k) => mine.map((at) => at[k]).sort((a, b) => a - b)[mine.length >> 1];
    const [x, y] = [middle(0), middle(1)];
    context.font = "700 13px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.beginPath();
    context.arc(x, y, 10, 0, 2 * Math.PI);
    context.fillStyle = this.#color(label);
    context.fill();
    context.strokeStyle = context.fillStyle = "#0a0c10";
    context.stroke();
    context.fillText(label, x, y + 0.5);
  }
}
