// The whole recording as a strip, and on it the excerpt: a window to drag, to draw out and to move with the keys.
//
// This runs once with `element` (its root), `props`, `watch` and `trigger`, as Gradio calls it. props.value is what
// excerpt.py's outline returns. Where the window has been laid is told by an event of the strip, "input", and can be asked
// for at element.strip.place(); where the page's fields have it, element.strip.lay() puts it.
"use strict";

const SHORTEST = 1, PATIENCE = 500; // s of an excerpt, where there are so many; ms without a key after which it is told
const STEP = 1, FINE_STEP = 0.1; // s
const BESIDE = 24; // pixels at an edge by which it is taken hold of

const part = (name) => element.querySelector(`[data-strip="${name}"]`);
let place = { whole: false, start: 0, duration: 10 }; // as the fields have it, in s
let pause = 0;

const total = () => props.value?.seconds ?? 0;
const tenths = (seconds) => Math.round(10 * seconds) / 10;
const start = () => (place.whole ? 0 : Math.min(place.start, total()));
const end = () => (place.whole ? total() : Math.min(total(), place.start + place.duration));

function time(seconds) {
  const all = Math.round(10 * seconds), rest = (all % 600) / 10;
  return `${Math.floor(all / 600)}:${rest < 10 ? "0" : ""}${rest.toFixed(1)}`;
}

function show() {
  const value = props.value, length = total();
  part("strip").hidden = !length;
  if (!length) return;
  const [from, to] = [start(), end()], all = from <= 0 && to >= length - 0.05;
  part("name").textContent = value.name;
  part("words").textContent = all ? `all of ${time(length)}` : `${time(from)} to ${time(to)} of ${time(length)}`;
  part("window").style.left = `${100 * from / length}%`;
  part("window").style.width = `${100 * Math.max(0, to - from) / length}%`;
  part("first").style.left = `${100 * from / length}%`;
  part("last").style.left = `${100 * to / length}%`;
  const told = `${time(from)}, ${(to - from).toFixed(1)} s of ${time(length)}`;
  for (const [name, now, words] of [["window", from, told], ["last", to, `${time(to)}, ${(to - from).toFixed(1)} s`]]) {
    part(name).setAttribute("aria-valuemax", Math.floor(length));
    part(name).setAttribute("aria-valuenow", Math.min(Math.floor(length), Math.floor(now)));
    part(name).setAttribute("aria-valuetext", words);
  }
  part("last").setAttribute("aria-valuemin", 0);
  draw();
}

function draw() {
  const canvas = part("wave"), ratio = window.devicePixelRatio || 1, { lows, highs } = props.value ?? {};
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (!width || !lows) return;
  Object.assign(canvas, { width: width * ratio, height: height * ratio });
  const pen = canvas.getContext("2d"), middle = height / 2, scale = 0.9 * middle / 127, count = lows.length;
  pen.scale(ratio, ratio);
  pen.fillStyle = getComputedStyle(canvas).color;
  pen.fillRect(0, middle - 0.5, width, 1);
  pen.beginPath();
  for (let i = 0; i < count; i++) pen.lineTo((i + 0.5) * width / count, middle - scale * highs[i]);
  for (let i = count - 1; i >= 0; i--) pen.lineTo((i + 0.5) * width / count, middle - scale * lows[i]);
  pen.fill();
}

function lay(from, duration) { // within the recording, on tenths of a second
  const shortest = Math.min(SHORTEST, total());
  duration = Math.max(shortest, Math.min(total(), tenths(duration)));
  from = Math.max(0, Math.min(total() - duration, from));
  place = { whole: false, start: Math.floor(10 * from + 1e-6) / 10, duration };
  show();
}

function layEdges(from, to, moved) { // the other edge stays, and gives way where the excerpt would be too short
  const shortest = Math.min(SHORTEST, total());
  if (moved === "first") from = Math.max(0, Math.min(from, to - shortest));
  else to = Math.min(total(), Math.max(to, from + shortest));
  lay(from, to - from);
}

const tell = () => trigger("input");

// Hands on the strip

function onPointer() {
  const film = part("film");
  const at = (event) => {
    const box = film.getBoundingClientRect();
    return (event.clientX - box.left) / box.width * total();
  };
  let grip = null; // what is held, and where
  film.addEventListener("pointerdown", (event) => {
    if (event.button || grip || !total()) return;
    const held = event.target.dataset.strip, near = BESIDE / film.clientWidth * total();
    const seconds = at(event), [from, to] = [start(), end()];
    let what = ["first", "last"].includes(held) ? held : "window";
    if (what !== "window" && to - from < near) what = "window"; // too small to be taken hold of at an edge
    if (held !== "window" && what === "window" && (seconds < from || seconds > to)) {
      lay(seconds - (to - from) / 2, to - from); // to where it was pressed, and on from there
    }
    grip = { what, seconds, from: start(), to: end(), was: [from, to].join() };
    film.setPointerCapture(event.pointerId);
    part(what === "last" ? "last" : "window").focus({ preventScroll: true, focusVisible: false });
    event.preventDefault();
  });
  film.addEventListener("pointermove", (event) => {
    if (!grip) return;
    const by = at(event) - grip.seconds, { from, to } = grip;
    if (grip.what === "first") layEdges(tenths(from + by), to, "first");
    else if (grip.what === "last") layEdges(from, tenths(to + by), "last");
    else lay(tenths(from + by), to - from);
  });
  film.addEventListener("pointerup", () => {
    if (grip && [start(), end()].join() !== grip.was) tell();
    grip = null;
  });
  film.addEventListener("pointercancel", () => { grip = null; });
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const step = event.shiftKey ? FINE_STEP : STEP, long = end() - start(), held = event.target.dataset.strip;
  const by = {
    ArrowLeft: -step, ArrowDown: -step, ArrowRight: step, ArrowUp: step,
    PageDown: -long, PageUp: long, Home: -Infinity, End: Infinity,
  }[event.key];
  if (by === undefined || !["window", "last"].includes(held)) return;
  event.preventDefault();
  if (held === "window") lay(start() + by, long);
  else layEdges(start(), end() + by, "last");
  clearTimeout(pause);
  pause = setTimeout(tell, PATIENCE);
}

document.addEventListener("playhead", ({ target }) => { // of a desk that plays some of it
  const at = target.desk?.state() === "ready" ? target.desk.seconds() : null;
  part("playhead").hidden = at === null;
  if (at !== null) part("playhead").style.transform = `translateX(${at / (total() || 1) * part("film").clientWidth}px)`;
});

onPointer();
part("film").addEventListener("keydown", onKey);
new ResizeObserver(draw).observe(part("wave"));
new MutationObserver(draw).observe(document.body, { attributeFilter: ["class"] });
watch("value", show);
show();

element.strip = {
  place: () => [place.whole, place.start, place.duration],
  lay: (whole, start, duration) => { // an empty field means what it means to the page
    place = { whole, start: Math.max(0, start ?? 0), duration: Math.max(0, duration ?? 10) };
    show();
  },
};
