// The page: brings the plane, the digit, the drawing and the walk together. Each of them knows only itself; what one
// of them finds out is told to the others here.

import { Coordinates, signed } from "./coordinates.js";
import { Curl } from "./curl.js";
import { Drawing } from "./drawing.js";
import { acceptFiles } from "./files.js";
import { Latest } from "./latest.js";
import { carryKey } from "./links.js";
import { ofPlane } from "./manifold.js";
import { Notice } from "./notice.js";
import { Picture } from "./picture.js";
import { Plane } from "./plane.js";
import { Points } from "./points.js";
import { Reading } from "./reading.js";
import { generate, send } from "./request.js";
import { Walk } from "./walk.js";

const SETTLED_MS = 600; // after so long at one place it is read out

const part = (id) => document.getElementById(id);
const notice = new Notice(part("notice"), () => (document.body.dataset.ready ? resume() : begin()));

let plane, coordinates, reading, drawing, walk, points;

// --- the digit at a point

const digit = new Picture(part("digit"), part("save-digit"));
const curlDigit = new Curl(part("curl-digit"));
const digits = new Latest({
  ask: async (z) => (await send(generate(z))).blob(),
  show: (blob, z) => {
    digit.show(blob, "digit.png", `The digit generated at ${z.slice(0, 4).map(signed).join(", ")}`);
    curlDigit.show(generate(z));
    notice.clear("digit");
  },
  fail: notice.from("digit"),
});

function look(z) {
  digits.wish(z);
  coordinates.show(z);
  part("where").textContent = `z = (${z.slice(0, 4).map(signed).join(", ")}${z.length > 4 ? ", …" : ""})`;
  part("around").textContent = neighbourhood(z);
}

function neighbourhood(z) {
  const found = points.around(z);
  return found ? `Around here: ${found.label} (${found.count} of the ${found.of} nearest test digits)` : "";
}

let settling;

function choose(z) {
  const slice = rest(z) !== rest(plane.chosen);
  plane.chosen = z;
  plane.refresh();
  look(z);
  if (slice) planes.wish(z);
  clearTimeout(settling);
  settling = setTimeout(() => {
    part("spoken").textContent = `${part("where").textContent} ${part("around").textContent}`;
  }, SETTLED_MS);
}

// The coordinates that the plane does not show: when they change, it is another plane.
const rest = (z) => z.filter((_, k) => !plane.axes.includes(k)).join();

// --- the digits all over the plane

const manifold = new Picture(part("manifold"), part("save-manifold"));
const curlPlane = new Curl(part("curl-plane"));
const planes = new Latest({
  ask: async (z) => {
    const request = ofPlane(z, plane.axes);
    return { request, blob: await (await send(request)).blob() };
  },
  show: ({ request, blob }) => {
    manifold.show(blob, "manifold.png");
    curlPlane.show(request, { path: "latent.png", saves: "latent.png" });
    notice.clear("plane");
  },
  fail: notice.from("plane"),
  most: 1,
});

// --- a picture of one's own

const saveDrawing = part("save-drawing");

function glance() {
  part("invitation").hidden = true;
  reading.glance(() => drawing.file());
}

async function readDrawing() {
  offer(await drawing.file());
}

async function readFile(picture) {
  try {
    await drawing.show(picture.blob);
    part("invitation").hidden = true;
    offer(picture);
  } catch {
    notice.from("picture")(new Error(`“${picture.name}” cannot be opened as a picture.`));
  }
}

let offered;

function offer(picture) {
  if (offered) URL.revokeObjectURL(offered);
  offered = URL.createObjectURL(picture.blob);
  Object.assign(saveDrawing, { href: offered, download: picture.name, hidden: false });
  reading.read(picture);
}

function forgetPicture() {
  part("invitation").hidden = false;
  saveDrawing.hidden = true;
  reading.forget();
}

// --- beginning, and beginning again

function describe({ version, data, measures }) {
  const loss = measures.test_loss ? `, test loss ${measures.test_loss.toFixed(1)} nats` : "";
  return `version ${version}, trained on ${data.train_images.toLocaleString("en")} images of ${data.name}${loss}`;
}

async function begin() {
  try {
    const [model, table] = await Promise.all(["model", "explorer/points.json"].map((path) => send({ path })));
    setUp(await model.json(), await table.json());
  } catch (error) {
    notice.from("page")(error);
  }
}

function setUp(model, table) {
  const dimensions = model.latent_dim;
  const origin = Array(dimensions).fill(0);
  points = new Points(table);
  part("model").textContent = describe(model);
  plane = new Plane(part("plane"), { points, onLook: look, onChoose: chooseByHand });
  coordinates = new Coordinates(part("coordinates"), dimensions, { onMove: slide, onAxes: showAxes });
  reading = new Reading(part, { notice, usual: model.measures.test_loss, onPlace: showEncoded });
  drawing = new Drawing(part("drawing"), { onStroke: glance, onRest: readDrawing, onClear: forgetPicture });
  walk = new Walk(part, { notice, here: () => plane.chosen, onEnds: showWalk, onStep: choose });
  connectButtons();
  plane.chosen = origin;
  showAxes(dimensions > 1 ? [0, 1] : [0]);
  choose(origin);
  walk.start(origin.with(0, -1), origin.with(0, 1));
  document.body.dataset.ready = "yes";
}

function connectButtons() {
  part("layers").addEventListener("change", (event) => plane.show(event.target.value));
  const layer = points.any ? "both" : "digits";
  part("layers").disabled = !points.any;
  part("save-points").hidden = !points.any;
  part("layers").querySelector(`[value=${layer}]`).checked = true;
  plane.show(layer);
  part("clear").addEventListener("click", () => drawing.clear());
  part("go-there").addEventListener("click", () => reading.mean && chooseByHand(reading.mean));
  part("encode-digit").addEventListener("click", () => digit.blob && readFile({ blob: digit.blob, name: "digit.png" }));
  carryKey([part("show-model"), part("save-points")], notice.from("page"));
  acceptFiles(part("file"), part("easel"), readFile, notice.from("picture"));
}

function chooseByHand(z) {
  walk.stop();
  choose(z);
}

// The others stay as they are: a slider is coarser than a point, and ends before it may.
function slide(k, value) {
  chooseByHand(plane.chosen.with(k, value));
}

function showAxes(axes) {
  plane.showAxes(axes);
  planes.wish(plane.chosen);
}

function showEncoded(encoded) {
  plane.encoded = encoded;
  plane.refresh();
}

function showWalk(ends) {
  plane.walk = ends;
  plane.refresh();
}

function resume() {
  planes.wish(plane.chosen);
  walk.refresh();
  reading.again();
  look(plane.chosen);
}

begin();
