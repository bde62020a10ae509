// The listening desk: up to six tracks of one recording on one transport, to be compared by ear, with their waveforms,
// spectrograms and what of them is certain under the playhead.
//
// This runs once per desk, behind spectrum.js, with `element` (its root), `props` (props.value is what tracks.py's
// tracks_on_desk returns) and `watch`: Gradio calls it so, and a report does the same. All tracks are channels of one
// reel, which always run together; only their gains change, so a switch keeps the position to the sample. Playing on from
// elsewhere (a seek, another loop, a newer restoration) starts another deck and fades the old one out. Positions count
// frames of the tracks' sample rate.
"use strict";

const FADE = 0.003; // s, time constant: a switch is done to 95 % after 9 ms
const LEAD = 0.05, MARGIN = 0.02; // s between a command and its sound, and by which all must be ready before
const SEAM = 0.005; // s by which a loop's end fades out and its start fades in
const SHORTEST_LOOP = 0.05; // s
const SEEK = 2, FINE_SEEK = 0.2; // s
const COLUMNS = 1000; // of a drawn waveform
const ZOOM = 1.6, SHORTEST_VIEW = 0.2; // by which a step magnifies, and the s that are shown at least
const AXIS = 20, WAVE_SHARE = 0.24; // pixels of the time's axis, and how much of the rest a waveform has under a spectrogram
const BUDGET = 10, BUDGET_PLAYING = 3; // ms of work on spectrograms at a time
const RANGE_DB = 76, HEADROOM_DB = 14; // of a spectrogram's colours, and by how much they begin below the loudest peak
const KINDS = ["measured", "inferred", "imagined"], KIND_COLOURS = ["0072b2", "f0e442", "d55e00"]; // as in the figures
const PATIENCE = 1500; // ms that a browser may take to begin to play
const UNHEARD = "This browser does not play yet. Press Play again, or see whether it has a loudspeaker.";
const PLAY = "M7 4 L20 12 L7 20 Z", PAUSE = "M6 4 H10 V20 H6 Z M14 4 H18 V20 H14 Z";
const VOICES = ["a", "b", "x"];

const part = (name) => element.querySelector(`[data-desk="${name}"]`);
const show = (name, shown) => { part(name).hidden = !shown; };
const say = (words) => { part("spoken").textContent = words; };
const tell = (words) => { part("message").textContent = words; };

let tracks = [], reel = null, rate = 48000, length = 0, plainGain = 0, offset = 0; // what lies on the desk
let current = 0, matched = true, volume = 1; // what is heard, and how
let position = 0, loop = null, looping = false; // where; loop is {start, end} in frames
let context = null, master = null, deck = null; // the audio clock, the volume, and the newest deck: null while paused
let rest = 0; // the timer that suspends the clock
let view = null; // {start, end} in frames: the part that is shown, where that is not all
let pictured = true, judged = false; // whether spectrograms are shown, and over them what is certain
let certainty = null, reached = null; // what is known of that, and the frame up to which a restoration has come
let painting = 0, developing = 0; // the next picture, and the next piece of work on spectrograms
let test = null; // the blind test, while there is one
let waiting = null; // a value that came during a blind test
let wished = null; // the key of the track that is to be heard, told by a value that may not have been laid here yet

// The deck: the reel in motion

class Deck {
  constructor(from, region, at, before) {
    this.from = from; // the frame of the tracks that is heard at
    this.at = at; // this frame of the clock
    this.region = region;
    this.before = before; // the deck that plays until this one is sure to be on time
    this.envelope = gainNode(0, master);
    this.seam = gainNode(region ? 0 : 1, this.envelope);
    this.gains = tracks.map((_, i) => gainNode(i === heard() ? level(i) : 0, this.seam));
    this.sources = [this.source(reel, this.tracks(), from, region)];
    if (region) this.sources.push(this.source(seamBuffer(region), this.seam.gain, from - region.start, {}));
    this.sources[0].onended = () => { if (deck === this) rewind(); };
  }

  tracks() { // from the reel to the tracks' gains
    const splitter = new ChannelSplitterNode(context, { numberOfOutputs: reel.numberOfChannels });
    const channels = reel.numberOfChannels / tracks.length;
    this.gains.forEach((gain, i) => {
      const merger = new ChannelMergerNode(context, { numberOfInputs: channels });
      for (let channel = 0; channel < channels; channel++) splitter.connect(merger, i * channels + channel, channel);
      merger.connect(gain);
    });
    return splitter;
  }

  source(buffer, target, from, round) { // round the region, or the whole buffer for {}
    const source = new AudioBufferSourceNode(context, { buffer, loop: Boolean(round) });
    if (round?.end) [source.loopStart, source.loopEnd] = [round.start / rate, round.end / rate];
    source.connect(target);
    source.start(this.at / rate, from / rate);
    return source;
  }

  open() { // what was started too late would play from the right place at the wrong time: not to be heard
    if (context.currentTime > this.at / rate - MARGIN) return false;
    this.envelope.gain.setTargetAtTime(1, this.at / rate, FADE);
    this.before?.end(this.at);
    this.before = null;
    return true;
  }

  frame(clock) { // of the tracks, at a frame of the clock
    const frame = this.from + Math.max(0, clock - this.at);
    if (!this.region || frame < this.region.end) return Math.min(frame, length);
    return this.region.start + (frame - this.region.start) % (this.region.end - this.region.start);
  }

  mix() { // every gain takes the same way at the same time: together they never add up to a bump
    const time = context.currentTime + MARGIN;
    this.gains.forEach((node, i) => node.gain.setTargetAtTime(i === heard() ? level(i) : 0, time, FADE));
    this.before?.mix();
  }

  end(at) {
    this.envelope.gain.setTargetAtTime(0, at / rate, FADE);
    this.sources.forEach((source) => source.stop(at / rate + 20 * FADE));
    this.before?.end(at);
  }
}

function gainNode(value, target) {
  const node = new GainNode(context, { gain: value });
  node.connect(target);
  return node;
}

function seamBuffer(region) { // the envelope of one pass through the loop
  const values = new Float32Array(region.end - region.start).fill(1), ramp = Math.round(SEAM * rate);
  for (let i = 0; i < ramp; i++) values[i] = values[values.length - 1 - i] = (i + 0.5) / ramp;
  const buffer = new AudioBuffer({ length: values.length, sampleRate: rate });
  buffer.copyToChannel(values, 0);
  return buffer;
}

const decibels = (i) => (matched || test ? tracks[i].gain_db : plainGain);
const level = (i) => 10 ** (decibels(i) / 20);
const clock = () => Math.round(context.currentTime * rate);
const here = () => (deck ? deck.frame(clock()) : position);
const region = () => (looping ? loop ?? { start: 0, end: length } : null);
const heard = () => (test ? test.track[test.voice] : current);

// The transport

async function play() {
  if (!tracks.length || deck) return;
  if (context?.sampleRate !== rate) {
    context?.close();
    context = new AudioContext({ sampleRate: rate });
    master = gainNode(volume, context.destination);
  }
  clearTimeout(rest);
  expectSound();
  await context.resume().catch(() => null);
  if (deck || context.state !== "running" || context.sampleRate !== rate) return; // pressed twice, or another one came
  tell("");
  playFrom(position < length ? position : 0);
  if (test) [test.played[test.voice], test.since] = [true, performance.now()];
  refresh();
  tick();
}

function expectSound() { // without a loudspeaker, Firefox's clock never begins to run
  const expected = context, before = context.currentTime;
  setTimeout(() => {
    if (context === expected && tracks.length && context.currentTime === before) tell(UNHEARD);
  }, PATIENCE);
}

function playFrom(frame, lead = LEAD) { // from null on: wherever the music will be by then
  const at = Math.ceil((context.currentTime + lead) * rate), within = region();
  let from = frame ?? deck.frame(at);
  if (within && (from < within.start || from >= within.end)) from = within.start;
  const next = deck = new Deck(Math.min(from, length - 1), within, at, deck);
  nextTask(() => { if (deck === next && !next.open()) playFrom(frame, 2 * lead); });
}

function nextTask(task) { // unlike a timer's, not put off while the page is in the background
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => { port1.close(); task(); };
  port2.postMessage(null);
}

function pause() {
  if (!deck) return;
  listened();
  const at = clock() + Math.ceil(MARGIN * rate); // a fade that begins late begins with a jump
  position = deck.frame(at);
  deck.end(at);
  deck = null;
  rest = setTimeout(() => context.suspend(), 500); // once it has faded out, a phone can rest
  refresh();
}

function rewind() {
  listened();
  deck = null;
  position = region()?.start ?? 0;
  reveal(position);
  refresh();
}

function seek(frame) {
  position = Math.max(0, Math.min(length - 1, Math.round(frame)));
  if (deck) playFrom(position);
  reveal(position);
  refresh();
}

function step(seconds) { // stays within the loop
  const within = region() ?? { start: 0, end: length };
  seek(Math.max(within.start, Math.min(within.end - 1, here() + seconds * rate)));
}

function setLoop(start, end, on = true) {
  const shortest = Math.ceil(SHORTEST_LOOP * rate);
  [start, end] = [Math.max(0, Math.round(start)), Math.min(length, Math.round(end))];
  loop = end - start < shortest || (start === 0 && end === length) ? null : { start, end };
  toggleLoop(on && Boolean(loop));
}

function toggleLoop(on = !looping) {
  looping = on;
  if (deck) playFrom(null);
  refresh();
}

function choose(i) {
  if (i >= tracks.length || test) return;
  [current, wished] = [i, null];
  deck?.mix();
  refresh();
  say(tracks[i].title);
}

function match(on) {
  matched = on;
  deck?.mix();
  refresh();
}

// The part that is seen

const seen = () => view ?? { start: 0, end: length };
const share = (frame) => (frame - seen().start) / (seen().end - seen().start);
const isSeen = (frame) => frame >= seen().start && frame <= seen().end;

function look(start, span) { // at so many frames from one on
  span = Math.max(Math.min(length, SHORTEST_VIEW * rate), Math.min(length, span));
  start = Math.max(0, Math.min(length - span, start));
  view = span >= length ? null : { start: Math.round(start), end: Math.round(start + span) };
  refresh();
}

function zoom(factor, about = isSeen(here()) ? here() : (seen().start + seen().end) / 2) {
  const { start, end } = seen(), span = Math.max(Math.min(length, SHORTEST_VIEW * rate), (end - start) / factor);
  look(about - share(about) * span, span);
}

function scroll(frames) {
  const { start, end } = seen();
  look(start + frames, end - start);
}

function reveal(frame) { // what is outside is turned to, as a page is
  if (view && !isSeen(frame)) look(frame - 0.05 * (view.end - view.start), view.end - view.start);
}

// The blind test: X is A or B, and which track is A is drawn anew for every trial

const coin = () => crypto.getRandomValues(new Uint8Array(1))[0] & 1;
const comparable = () => tracks.map((_, i) => i).filter((i) => tracks[i].matched);

function enterTest() {
  const pair = comparable();
  const best = pair.find((i) => tracks[i].key === "restored") ?? pair[1];
  for (const [name, chosen] of [["first", pair[0]], ["second", best]]) {
    part(name).replaceChildren(...pair.map((i) => new Option(tracks[i].title, i, false, i === chosen)));
  }
  test = { pair: [pair[0], best], answers: [], over: false };
  draw();
}

function draw() { // the next trial
  const flipped = coin(), [a, b] = flipped ? [test.pair[1], test.pair[0]] : test.pair;
  test.x = coin() ? "a" : "b";
  test.track = { a, b, x: test.x === "a" ? a : b };
  test.voice = "a";
  test.played = { a: Boolean(deck) };
  test.seconds = 0;
  test.since = performance.now();
  deck?.mix();
  refresh();
}

function hear(voice) {
  if (!test || test.over) return;
  test.voice = voice;
  if (deck) test.played[voice] = true;
  deck?.mix();
  refresh();
  say(voice.toUpperCase());
}

function listened() { // counts the time during which the music played
  if (!test || !deck) return;
  const now = performance.now();
  test.seconds += (now - test.since) / 1000;
  test.since = now;
}

function answer(voice) {
  listened();
  const [a, b] = [test.track.a, test.track.b].map((i) => tracks[i].title), x = test.x.toUpperCase();
  const told = part("feedback").checked, right = voice === test.x, within = region();
  test.answers.push({
    trial: test.answers.length + 1,
    a_track: a,
    b_track: b,
    x,
    answer: voice.toUpperCase(),
    right: right ? "yes" : "no",
    seconds_listened: test.seconds.toFixed(1),
    loop: within ? `${seconds(within.start)}-${seconds(within.end)}` : "",
    time: new Date().toISOString(),
    told: told ? "yes" : "no",
  });
  test.told = told ? (right ? "Right. " : `Wrong: X was ${x}. `) : "";
  if (test.answers.length >= test.planned) return finish();
  draw();
  part("voices").children[0].focus(); // the answer's button is out of order until X has been heard again
}

function finish() {
  listened();
  test.over = true;
  refresh();
  part("csv").focus();
}

function leaveTest() {
  if (test.answers.length && !test.over) return finish(); // a look at the result first
  listened();
  test = null;
  deck?.mix();
  refresh();
  if (waiting) load(waiting);
}

function chanceOf(right, trials) { // the exact probability of at least so many right answers by guessing
  let term = 0.5 ** trials, sum = 0;
  for (let k = 0; k <= trials; k++) {
    if (k >= right) sum += term;
    term *= (trials - k) / (k + 1);
  }
  return Math.min(1, sum);
}

function verdict() {
  const count = test.answers.length, told = test.told ?? "";
  if (!test.over) return `${told}Trial ${count + 1} of ${test.planned}. The count of right answers comes at the end.`;
  if (!count) return "No answers were given.";
  const right = test.answers.filter((trial) => trial.right === "yes").length, p = chanceOf(right, count);
  const chance = p < 0.001 ? "fewer than one in a thousand listeners" : `${(100 * p).toFixed(1)} % of listeners`;
  const sentences = [
    `${told}${right} of ${count} right${2 * right > count ? ` (p = ${p.toPrecision(2)})` : ""}.`,
    2 * right > count
      ? `By guessing alone, ${chance} would do at least as well.`
      : "That is no better than guessing: no difference was shown.",
  ];
  if (count < test.planned) sentences.push(`${test.planned} trials were planned: stopping early can flatter.`);
  return sentences.join(" ");
}

function downloadAnswers() {
  const rows = [Object.keys(test.answers[0]), ...test.answers.map(Object.values)];
  const text = rows.map((row) => `${row.join(",")}\r\n`).join("");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = "blind-test.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// What is seen

const seconds = (frame) => (frame / rate).toFixed(2);
const signed = (db) => `${db < 0 ? "\u2212" : "+"}${Math.abs(db).toFixed(1)} dB`;
const lufs = (value) => (value === null ? "silent" : `${value.toFixed(1).replace("-", "\u2212")} LUFS`);

function time(frame) { // within the whole recording, where the tracks begin `offset` seconds after its beginning
  const tenths = Math.floor(10 * (frame / rate + offset) + 1e-6);
  return `${Math.floor(tenths / 600)}:${String(Math.floor(tenths / 10) % 60).padStart(2, "0")}.${tenths % 10}`;
}

function trackButton(track, i) {
  const button = radio(track.key, ["number", i + 1], ["title", track.title], ["level", ""], ["level", ""]);
  Object.assign(button, { title: track.hint }).dataset.key = track.key;
  return button;
}

function radio(name, ...lines) {
  const button = document.createElement("button");
  button.type = "button";
  button.setAttribute("role", "radio");
  button.dataset.name = name;
  for (const [className, textContent] of lines) {
    button.append(Object.assign(document.createElement("span"), { className, textContent }));
  }
  return button;
}

function check(group, name) { // one stop for the Tab key, as among radio buttons everywhere
  for (const button of group.children) {
    button.setAttribute("aria-checked", String(button.dataset.name === name));
    button.tabIndex = button.dataset.name === name ? 0 : -1;
  }
}

function refresh() { // everything but the playhead
  const blind = Boolean(test), track = tracks[current];
  check(part("tracks"), track?.key);
  check(part("voices"), test?.voice);
  tracks.forEach((each, i) => {
    const [loudness, gain] = part("tracks").children[i].querySelectorAll(".level");
    part("tracks").children[i].querySelector(".title").textContent = each.title;
    [loudness.textContent, gain.textContent] = [lufs(each.loudness), `plays at ${signed(decibels(i))}`];
  });
  show("tracks", !blind);
  show("blind", blind);
  part("hint").textContent = blind ? "" : track?.hint ?? "";
  part("timeline").dataset.key = blind ? "" : track?.key;
  part("timeline").dataset.pictured = String(pictured && !blind);
  part("play").setAttribute("aria-label", deck ? "Pause" : "Play");
  part("play-shape").setAttribute("d", deck ? PAUSE : PLAY);
  part("loop").setAttribute("aria-pressed", String(looping));
  part("loop-clear").disabled = !loop;
  const range = loop ? ` ${time(loop.start)} \u2013 ${time(loop.end)}` : looping ? " the whole" : "";
  part("loop").textContent = `Loop${range}`;
  placeRegion(loop);
  part("region").dataset.looping = String(looping);
  part("match").checked = matched || blind;
  part("match").disabled = blind;
  const reference = tracks.find((each) => each.matched && each.loudness !== null);
  const target = reference && (matched || blind) ? `at ${lufs(reference.loudness + reference.gain_db)}` : "";
  part("target").textContent = target;
  part("blindness").disabled = comparable().length < 2;
  part("blindness").setAttribute("aria-pressed", String(blind));
  part("blindness").textContent = !blind ? "Blind test" : test.over || !test.answers.length ? "Leave test" : "End test";
  if (blind) refreshTest();
  refreshView();
  painting ||= requestAnimationFrame(paint); // not now: sound has to be on time
  placePlayhead();
}

function refreshView() {
  const { start, end } = seen(), blind = Boolean(test), certain = isJudged();
  part("picture").setAttribute("aria-pressed", String(pictured && !blind));
  part("certain").setAttribute("aria-pressed", String(certain));
  for (const name of ["picture", "certain"]) part(name).disabled = blind;
  show("certain", Boolean(certainty));
  show("legend", certain);
  const shares = certainty?.percent;
  if (certain) {
    for (const kind of KINDS) part(kind).textContent = shares ? `${kind}, ${Math.round(shares[kind])} %` : kind;
  }
  const span = end - start, smallest = SHORTEST_VIEW * rate;
  for (const name of ["zoom-out", "zoom-all"]) part(name).setAttribute("aria-disabled", String(!view));
  part("zoom-in").setAttribute("aria-disabled", String(span <= smallest));
  if (!view && part("scroll") === document.activeElement) part("timeline").focus(); // it goes
  show("scroll", Boolean(view));
  if (!view) return;
  part("scroll").value = start / (length - span);
  part("scroll").setAttribute("aria-valuetext", `${time(start)} to ${time(end)}`);
}

function refreshTest() {
  const started = test.answers.length > 0;
  if (!started) test.planned = Math.max(1, Math.min(100, Math.round(part("planned").value) || 12));
  for (const name of ["first", "second", "planned", "feedback"]) part(name).disabled = started;
  show("trial", !test.over);
  for (const voice of ["a", "b"]) part(`answer-${voice}`).disabled = !test.played.x; // who has not heard X cannot know
  part("verdict").textContent = verdict();
  show("finish", started && !test.over);
  show("csv", test.over && started);
  show("again", test.over);
}

const percent = (share) => `${100 * share}%`;

function placeRegion(range) {
  show("region", Boolean(range));
  if (!range) return;
  part("region").style.left = percent(share(range.start));
  part("region").style.width = percent(share(range.end) - share(range.start));
}

let followed = true; // whether the playhead was seen a moment ago: who looks elsewhere is left there

function placePlayhead() {
  const frame = here(), follows = followed;
  followed = isSeen(frame);
  if (deck && follows && !followed) {
    reveal(frame); // comes back here
    return;
  }
  part("playhead").style.transform = `translateX(${share(frame) * part("timeline").clientWidth}px)`; // nothing is laid out anew
  element.dispatchEvent(new CustomEvent("playhead", { detail: frame / length, bubbles: true })); // for pictures beside the desk
  const words = `${time(frame)} of ${time(length)}`;
  const clock = `${time(frame)} / ${time(length)}`;
  if (part("clock").textContent !== clock) part("clock").textContent = clock; // ten times a second, not sixty
  const slider = part("timeline"), whole = Math.floor(frame / rate);
  if (deck && Number(slider.getAttribute("aria-valuenow")) === whole) return; // spares a screen reader the tenths
  slider.setAttribute("aria-valuenow", whole);
  slider.setAttribute("aria-valuetext", words);
}

function tick() {
  if (!element.isConnected) return pause(); // the page has moved on
  placePlayhead();
  if (deck) requestAnimationFrame(tick);
}

function outline(track, { start, end }) { // the lowest and highest value in each column of a part
  const lows = new Float32Array(COLUMNS), highs = new Float32Array(COLUMNS);
  for (const samples of track.channels()) {
    const scale = COLUMNS / (end - start);
    for (let i = start; i < end; i++) {
      const column = Math.floor((i - start) * scale);
      if (samples[i] < lows[column]) lows[column] = samples[i];
      if (samples[i] > highs[column]) highs[column] = samples[i];
    }
  }
  return { lows, highs, start, end };
}

function shapeOf(track) { // of what is seen
  if (!view) return track.shape ??= outline(track, seen());
  if (track.detail?.start !== view.start || track.detail.end !== view.end) track.detail = outline(track, view);
  return track.detail;
}

const hasPicture = () => pictured && !test; // a blind test shows nothing that could give a track away
const isJudged = () => hasPicture() && judged && Boolean(certainty);
const loudest = () => Math.max(...tracks.map((track, i) => level(i) * track.peak)) || 1; // one scale for all tracks

function paint() {
  painting = 0;
  const canvas = part("wave"), ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight - AXIS];
  if (!width || !length) return;
  Object.assign(canvas, { width: width * ratio, height: (height + AXIS) * ratio });
  const pen = canvas.getContext("2d"), above = hasPicture() ? Math.round((1 - WAVE_SHARE) * height) : 0;
  pen.scale(ratio, ratio);
  if (above) paintPicture(pen, width, above);
  paintWave(pen, width, above, height - above);
  if (!test && reached !== null && tracks[current].key === "restored") paintPending(pen, width, height);
  paintAxis(pen, width, height);
  if (above) developing ||= later(develop);
}

function paintWave(pen, width, top, height) {
  const middle = top + height / 2;
  pen.fillStyle = getComputedStyle(part("wave")).color;
  pen.fillRect(0, middle - 0.5, width, 1);
  if (test) return;
  const { lows, highs } = shapeOf(tracks[current]), scale = 0.47 * height * level(current) / loudest();
  pen.beginPath();
  for (let x = 0; x < COLUMNS; x++) pen.lineTo((x + 0.5) * width / COLUMNS, middle - scale * highs[x]);
  for (let x = COLUMNS - 1; x >= 0; x--) pen.lineTo((x + 0.5) * width / COLUMNS, middle - scale * lows[x]);
  pen.fill();
}

function paintPending(pen, width, height) { // what a restoration has not reached yet
  const from = Math.max(0, share(reached)) * width;
  if (from >= width) return;
  pen.fillStyle = stripes(pen, "#8f8f8f"); // to be seen on paper and on a spectrogram's black
  pen.globalAlpha = 0.6;
  pen.fillRect(from, 0, width - from, height);
  pen.globalAlpha = 1;
}

function stripes(pen, colour) {
  const canvas = Object.assign(document.createElement("canvas"), { width: 8, height: 8 }), line = canvas.getContext("2d");
  line.strokeStyle = colour;
  for (const at of [-8, 0, 8]) {
    line.moveTo(at, 8);
    line.lineTo(at + 8, 0);
  }
  line.stroke();
  return pen.createPattern(canvas, "repeat");
}

function paintAxis(pen, width, height) {
  pen.fillStyle = getComputedStyle(part("hint")).color;
  pen.font = `11px ${getComputedStyle(part("wave")).fontFamily}`;
  const { start, end } = seen(), total = (end - start) / rate, first = offset + start / rate;
  const units = [0.1, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300];
  const every = units.find((unit) => total / unit <= width / 60) ?? 600;
  for (let at = Math.ceil(first / every - 1e-6) * every - first; at < total - 0.2 * every; at += every) {
    const x = at / total * width, words = time(start + at * rate + 0.5);
    pen.fillRect(x, height, 1, 5);
    pen.fillText(every < 1 ? words : words.slice(0, -2), x + 4, height + 14);
  }
}

// Spectrograms, as they get ready, and over them what is certain

function spectrumOf(track, part) { // of all of a track, or of the part that is seen
  const name = part ? "close" : "whole", { start, end } = part ?? { start: 0, end: length }, known = track[name];
  if (known?.start === start && known.end === end) return known;
  return track[name] = new Spectrum(track.channels(), rate, start, end, part ? null : track.before);
}

function develop() { // a few milliseconds at a time: first what is seen, then, while nothing plays, what may be
  developing = 0;
  if (!hasPicture() || !tracks.length) return;
  const chosen = tracks[current];
  const wanted = [spectrumOf(chosen), ...(view ? [spectrumOf(chosen, view)] : [])];
  if (!deck) wanted.push(...tracks.map((each) => spectrumOf(each)));
  const next = wanted.find((spectrum) => !spectrum.isDone);
  if (!next) return;
  next.develop(performance.now() + (deck ? BUDGET_PLAYING : BUDGET));
  const shown = next === chosen.whole || next === chosen.close;
  if (shown && (next.isDone || !still.matches)) paint();
  developing ||= later(develop);
}

const later = window.requestIdleCallback ?? ((work) => setTimeout(work, 30));
const still = matchMedia("(prefers-reduced-motion: reduce)"); // then a picture comes all at once

function pictureOf(spectrum) { // is painted anew where it has grown or sounds at another level
  const top = 20 * Math.log10(loudest()) - HEADROOM_DB - decibels(current), kind = isJudged() ? IN_GREY : IN_COLOUR;
  const state = [spectrum.done, top, kind === IN_GREY].join();
  if (spectrum.state !== state) Object.assign(spectrum, { state, canvas: spectrum.picture(top, RANGE_DB, kind) });
  return spectrum.canvas;
}

function paintPicture(pen, width, height) {
  const track = tracks[current], whole = spectrumOf(track), close = view && spectrumOf(track, view), { start, end } = seen();
  const from = start / length * whole.columns, columns = (end - start) / length * whole.columns;
  pen.drawImage(pictureOf(whole), from, 0, columns, ROWS, 0, 0, width, height);
  const done = close ? (still.matches && !close.isDone ? 0 : close.done) : 0;
  if (done) pen.drawImage(pictureOf(close), 0, 0, done, ROWS, 0, 0, done / close.columns * width, height);
  if (isJudged()) paintCertainty(pen, width, height, whole.octaves);
  pen.font = `10px ${getComputedStyle(part("wave")).fontFamily}`;
  for (const hertz of [100, 300, 1000, 3000, 10000]) {
    const y = height * (1 - Math.log2(hertz / LOWEST_HZ) / whole.octaves);
    if (y < 8) continue;
    const words = hertz < 1000 ? `${hertz} Hz` : `${hertz / 1000} kHz`;
    [pen.fillStyle, pen.strokeStyle, pen.lineWidth] = ["#fff", "rgb(0 0 0 / 75%)", 3];
    pen.fillRect(0, y, 5, 1);
    pen.strokeText(words, 8, y + 3);
    pen.fillText(words, 8, y + 3);
  }
}

function cellsOf(kind) { // one kind of cells, as a picture of a pixel each
  const { bands, cells } = certainty, columns = cells.length / bands;
  const canvas = Object.assign(document.createElement("canvas"), { width: columns, height: bands });
  const pen = canvas.getContext("2d"), image = pen.createImageData(columns, bands);
  const pixels = new Uint32Array(image.data.buffer), colour = packed(rgb(KIND_COLOURS[kind]));
  for (let i = 0; i < cells.length; i++) {
    if (cells[i] === String(kind)) pixels[(bands - 1 - i % bands) * columns + Math.floor(i / bands)] = colour;
  }
  pen.putImageData(image, 0, 0);
  return canvas;
}

function paintCertainty(pen, width, height, octaves) { // in colours, and what was imagined striped, too
  const { bands, per_octave: perOctave, low_hz: lowHz, seconds: cellSeconds } = certainty, { start, end } = seen();
  const y = (band) => height * (1 - (Math.log2(lowHz / LOWEST_HZ) + (band - 0.5) / perOctave) / octaves);
  const canvas = Object.assign(document.createElement("canvas"), { width, height: Math.ceil(height) });
  const layer = canvas.getContext("2d"), cell = cellSeconds * rate;
  certainty.pictures ??= KINDS.map((_, kind) => cellsOf(kind));
  certainty.pictures.forEach((picture, kind) => {
    layer.globalCompositeOperation = "source-over";
    layer.clearRect(0, 0, width, height);
    layer.imageSmoothingEnabled = false;
    layer.drawImage(picture, start / cell, 0, (end - start) / cell, bands, 0, y(bands), width, y(0) - y(bands));
    pen.globalAlpha = KINDS[kind] === "measured" ? 0.28 : 0.42;
    pen.drawImage(canvas, 0, 0, width, height);
    pen.globalAlpha = 1;
    if (KINDS[kind] !== "imagined") return;
    layer.globalCompositeOperation = "source-in";
    layer.fillStyle = stripes(layer, "#fff");
    layer.fillRect(0, 0, width, height);
    pen.globalAlpha = 0.5;
    pen.drawImage(canvas, 0, 0, width, height);
    pen.globalAlpha = 1;
  });
}

// Hands on the desk

function onTimeline() {
  const timeline = part("timeline");
  const frameAt = (event) => {
    const box = timeline.getBoundingClientRect();
    const { start, end } = seen();
    return start + Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)) * (end - start);
  };
  let grip = null; // where the pointer went down
  const fingers = new Map(); // where each is, by its pointer
  timeline.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    fingers.set(event.pointerId, event);
    grip = fingers.size > 1 ? null : { x: event.clientX, frame: frameAt(event), dragged: false };
    timeline.setPointerCapture(event.pointerId);
    if (!grip) placeRegion(loop);
  });
  timeline.addEventListener("pointermove", (event) => {
    if (fingers.has(event.pointerId)) pinch(fingers, event, frameAt);
    if (!grip || (!grip.dragged && Math.abs(event.clientX - grip.x) < 5)) return;
    grip.dragged = true;
    const [start, end] = [grip.frame, frameAt(event)].sort((a, b) => a - b);
    placeRegion({ start, end });
  });
  timeline.addEventListener("pointerup", (event) => {
    fingers.delete(event.pointerId);
    if (grip?.dragged) {
      setLoop(...[grip.frame, frameAt(event)].sort((a, b) => a - b));
      if (looping && !deck) seek(loop.start);
    } else if (grip) {
      const within = region();
      if (within && (grip.frame < within.start || grip.frame >= within.end)) looping = false; // the listener wants out
      seek(grip.frame);
    }
    grip = null;
  });
  timeline.addEventListener("pointercancel", (event) => {
    fingers.delete(event.pointerId);
    grip = null;
    refresh();
  });
  timeline.addEventListener("wheel", (event) => { // a pinch on a touchpad is a wheel with Ctrl, too
    const sideways = event.deltaX || (event.shiftKey ? event.deltaY : 0);
    if (event.ctrlKey) zoom(2 ** (-event.deltaY / (event.deltaMode ? 3 : 200)), frameAt(event));
    else if (view && sideways) scroll(sideways / timeline.clientWidth * (view.end - view.start));
    else return; // the page scrolls
    event.preventDefault();
  }, { passive: false });
}

function pinch(fingers, moved, frameAt) { // two fingers draw the picture apart, and along with them
  const [one, other] = [...fingers.values()];
  fingers.set(moved.pointerId, moved);
  if (fingers.size !== 2) return;
  const [now, then] = [[...fingers.values()], [one, other]].map(([a, b]) => ({
    apart: Math.max(10, Math.abs(a.clientX - b.clientX)),
    clientX: (a.clientX + b.clientX) / 2,
  }));
  const frame = frameAt(then);
  zoom(now.apart / then.apart, frame);
  scroll(frame - frameAt(now));
}

function onKey(event) {
  if ((event.ctrlKey || event.metaKey || event.altKey) && !event.getModifierState("AltGraph")) return;
  const at = event.target, key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (at.matches("select, input[type=number]")) return;
  const arrow = key.startsWith("Arrow") || key === "Home" || key === "End";
  if (arrow && at.matches("input[type=range]")) return;
  if (key === " " && at.matches("button:not([role=radio]), input, summary")) return; // the space bar presses them
  const among = at.matches("[role=radio]") && /Up|Down|Home|End/.test(key);
  const action = among ? () => neighbour(at, key) : actionOf(key, event.shiftKey);
  if (!action) return;
  event.preventDefault();
  event.stopPropagation();
  action();
}

function actionOf(key, shift) {
  const jump = shift ? FINE_SEEK : SEEK;
  if (/^[1-6]$/.test(key)) return () => choose(Number(key) - 1);
  if (test && VOICES.includes(key)) return () => hear(key);
  return {
    " ": () => (deck ? pause() : play()),
    ArrowLeft: () => step(-jump),
    ArrowRight: () => step(jump),
    Home: () => step(-Infinity),
    End: () => step(Infinity),
    "[": () => setLoop(here(), loop && loop.end > here() ? loop.end : length),
    "]": () => setLoop(loop && loop.start < here() ? loop.start : 0, here()),
    l: () => toggleLoop(),
    Escape: () => setLoop(0, length, false),
    "+": () => zoom(ZOOM),
    "=": () => zoom(ZOOM), // the plus key of many keyboards, without Shift
    "-": () => zoom(1 / ZOOM),
    0: () => look(0, length),
    s: () => togglePicture(),
    c: () => certainty && toggleCertainty(),
  }[key];
}

function neighbour(radio, key) {
  const all = [...radio.parentElement.children], i = all.indexOf(radio);
  const next = { ArrowUp: all[i - 1], ArrowDown: all[i + 1], Home: all[0], End: all.at(-1) }[key];
  next?.click();
  next?.focus();
}

function togglePicture() {
  if (test) return;
  pictured = !pictured;
  refresh();
}

function toggleCertainty() {
  if (test) return;
  judged = !isJudged();
  pictured ||= judged;
  refresh();
}

function onControls() {
  const clicks = {
    play: () => (deck ? pause() : play()),
    loop: () => toggleLoop(),
    "loop-start": actionOf("["),
    "loop-end": actionOf("]"),
    "loop-clear": () => { actionOf("Escape")(); part("loop").focus(); },
    picture: togglePicture,
    certain: toggleCertainty,
    "zoom-in": () => zoom(ZOOM),
    "zoom-out": () => zoom(1 / ZOOM),
    "zoom-all": () => look(0, length),
    blindness: () => (test ? leaveTest() : enterTest()),
    "answer-a": () => answer("a"),
    "answer-b": () => answer("b"),
    finish,
    csv: downloadAnswers,
    again: () => { leaveTest(); enterTest(); part("voices").children[0].focus(); },
  };
  for (const [name, action] of Object.entries(clicks)) part(name).addEventListener("click", action);
  part("voices").append(...VOICES.map((voice) => radio(voice, ["voice", voice.toUpperCase()])));
  const onRadio = (group, action) => part(group).addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) action(button.dataset.name);
  });
  onRadio("voices", hear);
  onRadio("tracks", (key) => choose(tracks.findIndex((track) => track.key === key)));
  part("match").addEventListener("change", (event) => match(event.target.checked));
  part("volume").addEventListener("input", (event) => {
    volume = event.target.value ** 2; // about as the ear hears it
    master?.gain.setTargetAtTime(volume, context.currentTime, FADE);
  });
  part("scroll").addEventListener("input", (event) => {
    const span = view.end - view.start;
    look(event.target.value * (length - span), span);
  });
  for (const name of ["first", "second"]) part(name).addEventListener("change", choosePair);
  part("planned").addEventListener("change", refresh);
  part("desk").addEventListener("keydown", onKey);
  new ResizeObserver(() => { paint(); placePlayhead(); }).observe(part("wave"));
  new MutationObserver(paint).observe(document.body, { attributeFilter: ["class"] });
}

function choosePair(event) {
  const [first, second] = [part("first"), part("second")];
  if (first.value === second.value) { // the other one gives way
    const other = event.target === first ? second : first;
    other.value = comparable().find((i) => String(i) !== event.target.value);
  }
  test.pair = [Number(first.value), Number(second.value)];
  draw();
}

// What lies on the desk

let arrivals = 0;
const coming = new Map(); // sounds that are not laid yet, by address: a newer value does not fetch them again

async function load(value) {
  wished = value?.select ?? wished; // also where a newer one without a wish comes before this one's sound
  if (test) { waiting = value; return; } // nothing changes under a listener who is being tested
  waiting = null;
  const arrival = ++arrivals;
  if (!value?.tracks?.length) return clear("empty", "Here you will compare the recording and its restoration, at equal loudness.");
  if (!tracks.length) clear("loading", "Fetching the sound\u2026");
  try {
    const at = playableRate(value.sample_rate);
    const known = new Map(at === rate ? tracks.map((track) => [track.file.url, track]) : []);
    const arrived = await Promise.all(value.tracks.map(async (track) => {
      const { channels, peak, shape, whole } = known.get(track.file.url) ?? await comes(track, at);
      return { ...track, channels, peak, shape, whole };
    }));
    if (arrival !== arrivals) return; // a newer one is on its way
    if (test) waiting = value; // begun meanwhile
    else lay(arrived, at, value);
  } catch (error) {
    if (arrival === arrivals && !test) clear("error", error.message);
  }
}

function playableRate(wanted) {
  try {
    return new OfflineAudioContext(1, 1, wanted).sampleRate;
  } catch {
    return 48000; // beyond what this browser plays; decoding resamples
  }
}

function comes(track, at) {
  const url = track.file.url, sound = coming.get(url) ?? fetched(track, at);
  coming.set(url, sound);
  return sound;
}

async function fetched(track, at) {
  const answer = await fetch(track.file.url).catch(() => null);
  const name = `\u201c${track.title}\u201d`;
  if (!answer?.ok) throw new Error(`The sound of ${name} could not be fetched. Reload the page and restore again.`);
  try {
    const buffer = await new OfflineAudioContext(1, 1, at).decodeAudioData(await answer.arrayBuffer());
    return { channels: () => channelsOf(buffer), peak: 10 ** ((track.peak_db ?? -200) / 20) };
  } catch {
    throw new Error(`This browser cannot decode ${name}. Download it and play it in another program.`);
  }
}

function channelsOf(buffer, first = 0, count = buffer.numberOfChannels) {
  return Array.from({ length: count }, (_, i) => buffer.getChannelData(first + i));
}

function wind(arrived, at) { // the tracks beside each other on one reel; their own buffers are let go
  const all = arrived.flatMap((track) => track.channels()), count = all.length / arrived.length;
  const length = Math.min(...all.map((channel) => channel.length));
  const wound = new AudioBuffer({ numberOfChannels: all.length, length, sampleRate: at });
  all.forEach((channel, i) => wound.copyToChannel(channel, i));
  arrived.forEach((track, i) => {
    track.channels = () => channelsOf(wound, i * count, count);
    if (track.whole) track.whole.channels = track.channels();
  });
  return wound;
}

function lay(arrived, at, value) {
  const same = at === rate && tracks[0]?.file.url === arrived[0].file.url, key = tracks[current]?.key;
  if (!same) {
    pause();
    [position, loop, looping, view] = [0, null, false, null];
  } else { // until a newer one has its own spectrogram, that of the older one is shown
    for (const track of arrived) track.before = tracks.find((each) => each.key === track.key)?.whole?.levels;
  }
  coming.clear();
  [tracks, reel, rate, plainGain] = [arrived, wind(arrived, at), at, value.plain_gain_db];
  [length, offset] = [reel.length, value.start ?? 0];
  certainty = value.certainty && { ...value.certainty };
  reached = value.reached == null ? null : value.reached * rate;
  if (view?.end > length) view = null;
  current = Math.max(0, tracks.findIndex((track) => track.key === key));
  const wanted = tracks.findIndex((track) => track.key === wished);
  if (wanted >= 0 && !deck) current = wanted; // nobody who listens is interrupted
  wished = null;
  const shown = [...part("tracks").children].map((button) => button.dataset.name);
  if (shown.join() !== tracks.map((track) => track.key).join()) { // else a focused one keeps the focus
    part("tracks").replaceChildren(...tracks.map(trackButton));
  }
  part("timeline").setAttribute("aria-valuemax", Math.floor(length / rate));
  part("note").textContent = value.note ?? "";
  state("ready", "");
  if (deck) playFrom(null);
  refresh();
}

function clear(name, words) {
  pause();
  [tracks, reel, current, view] = [[], null, 0, null];
  if (name !== "loading") coming.clear();
  state(name, words);
}

function state(name, words) {
  part("desk").dataset.state = name;
  tell(words);
  show("console", name === "ready");
}

onTimeline();
onControls();
watch("value", () => load(props.value));
load(props.value);

// For whoever wants to look or listen in.
element.desk = {
  state: () => part("desk").dataset.state,
  position: here, // in samples
  playing: () => Boolean(deck),
  track: () => (test ? test.voice : tracks[current]?.key),
  seconds: () => offset + here() / rate, // into the whole recording
  goTo: (share) => seek(share * length),
  view: seen, // in samples
  pictures: () => Object.fromEntries(tracks.map((track) => [track.key, track.whole?.isDone ?? false])), // which are ready
  gains: () => Object.fromEntries(tracks.map((track, i) => [track.key, decibels(i)])), // dB
  loop: region,
  rate: () => rate,
  output: () => master, // the node behind the volume
  chanceOf,
};
