// A sound's spectrogram, made a few columns at a time so that nothing else has to wait: levels in dB of full scale by
// column and row, the rows evenly spaced in pitch. And its colours, which are matplotlib's magma.
"use strict";

const LOWEST_HZ = 40, HIGHEST_HZ = 20000;
const ROWS = 180, MOST_COLUMNS = 600; // of a spectrogram
const FRAME_SECONDS = 0.09, MOST_FRAMES = 3; // that a column looks at, and how many where columns are long
const FLOOR_DB = -160;
const MAGMA = ["000004", "1c1044", "4f127b", "812581", "b5367a", "e55064", "fb8761", "fec287", "fcfdbf"];

const rgb = (hex) => [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16));
const packed = ([red, green, blue]) => (255 << 24 | blue << 16 | green << 8 | red) >>> 0; // as a picture holds a pixel
const colours = (stops) => Uint32Array.from({ length: 256 }, (_, i) => { // evenly from the first stop to the last
  const place = i / 255 * (stops.length - 1), below = Math.min(stops.length - 2, Math.floor(place));
  const [from, to] = [rgb(stops[below]), rgb(stops[below + 1])];
  return packed(from.map((value, k) => value + (place - below) * (to[k] - value)));
});
const IN_COLOUR = colours(MAGMA), IN_GREY = colours(["0c0c0c", "f4f4f4"]);

class Transform { // of frames whose length is a power of two
  constructor(length) {
    this.length = length;
    this.window = Float64Array.from({ length }, (_, i) => 0.5 - 0.5 * Math.cos(2 * Math.PI * i / length));
    this.cosines = Float64Array.from({ length: length / 2 }, (_, i) => Math.cos(2 * Math.PI * i / length));
    this.sines = Float64Array.from({ length: length / 2 }, (_, i) => Math.sin(2 * Math.PI * i / length));
    this.places = new Uint32Array(length); // each index with its bits the other way round
    for (let i = 1; i < length; i++) this.places[i] = (this.places[i >> 1] >> 1) | (i & 1 ? length >> 1 : 0);
    [this.real, this.imaginary] = [new Float64Array(length), new Float64Array(length)];
    this.scale = 4 / this.window.reduce((sum, value) => sum + value) ** 2; // a sine at full scale has 0 dB
  }

  load(left, right, first) { // two channels from a sample on; without a second one the first stands alone
    for (let i = 0; i < this.length; i++) {
      const at = first + i, inside = at >= 0 && at < left.length;
      this.real[this.places[i]] = inside ? this.window[i] * left[at] : 0;
      this.imaginary[this.places[i]] = inside && right ? this.window[i] * right[at] : 0;
    }
  }

  run() { // in place
    const { length, real, imaginary, cosines, sines } = this;
    for (let size = 2; size <= length; size *= 2) {
      const half = size / 2, stride = length / size;
      for (let start = 0; start < length; start += size) {
        for (let k = 0; k < half; k++) {
          const a = start + k, b = a + half, cosine = cosines[k * stride], sine = sines[k * stride];
          const x = real[b] * cosine + imaginary[b] * sine, y = imaginary[b] * cosine - real[b] * sine;
          real[b] = real[a] - x;
          imaginary[b] = imaginary[a] - y;
          real[a] += x;
          imaginary[a] += y;
        }
      }
    }
  }

  addTo(powers) { // that of both channels together: they share one transform, as its real and its imaginary part
    const { length, real, imaginary } = this, scale = this.scale / 2;
    for (let bin = 0; bin < powers.length; bin++) {
      const other = (length - bin) & (length - 1);
      powers[bin] += scale * (real[bin] * real[bin] + imaginary[bin] * imaginary[bin] +
        real[other] * real[other] + imaginary[other] * imaginary[other]);
    }
  }
}

class Spectrum { // of the samples from `start` to `end`
  constructor(channels, rate, start, end, before) {
    const length = 2 ** Math.round(Math.log2(FRAME_SECONDS * rate)), top = Math.min(HIGHEST_HZ, rate / 2);
    Object.assign(this, { channels, start, end, transform: Spectrum.transform(length) });
    this.columns = Math.max(1, Math.min(MOST_COLUMNS, Math.ceil((end - start) / (length / 8))));
    this.frames = Math.max(1, Math.min(MOST_FRAMES, Math.round((end - start) / this.columns / length)));
    this.octaves = Math.log2(top / LOWEST_HZ); // from the lowest row's bottom to the highest one's top
    this.bins = Float64Array.from({ length: ROWS + 1 }, (_, i) => (
      LOWEST_HZ * 2 ** (i / ROWS * this.octaves) / rate * length
    ));
    this.powers = new Float64Array(length / 2 + 1);
    this.done = 0; // columns
    const alike = before?.length === this.columns * ROWS; // levels of what was there, to be seen meanwhile
    this.levels = alike ? before.slice() : new Float32Array(this.columns * ROWS).fill(FLOOR_DB);
  }

  static transform(length) {
    return (Spectrum.transforms ??= new Map()).get(length) ??
      Spectrum.transforms.set(length, new Transform(length)).get(length);
  }

  get isDone() { return this.done === this.columns; }

  develop(until) { // goes on until a time of performance.now()
    while (!this.isDone && performance.now() < until) this.column(this.done++);
  }

  column(column) {
    const { powers, transform, channels } = this, width = (this.end - this.start) / this.columns;
    powers.fill(0);
    for (let frame = 0; frame < this.frames; frame++) {
      const middle = this.start + (column + (frame + 0.5) / this.frames) * width;
      for (let channel = 0; channel < channels.length; channel += 2) {
        transform.load(channels[channel], channels[channel + 1], Math.round(middle - transform.length / 2));
        transform.run();
        transform.addTo(powers);
      }
    }
    const share = 1 / this.frames / channels.length;
    for (let row = 0; row < ROWS; row++) this.levels[column * ROWS + row] = decibelsOf(share * this.within(row));
  }

  within(row) { // the strongest bin of a row; where bins are sparser than rows it lies between two of them
    const [low, high] = [this.bins[row], this.bins[row + 1]], { powers } = this, last = powers.length - 1;
    const below = Math.min(last, Math.floor((low + high) / 2)), rest = Math.min(1, (low + high) / 2 - below);
    let found = (1 - rest) * powers[below] + rest * powers[Math.min(last, below + 1)];
    for (let bin = Math.ceil(low); bin <= Math.min(high, last); bin++) found = Math.max(found, powers[bin]);
    return found;
  }

  picture(top, range, colours) { // as a canvas; `top` dB has the last colour, `range` less the first
    const canvas = Object.assign(document.createElement("canvas"), { width: this.columns, height: ROWS });
    const pen = canvas.getContext("2d"), image = pen.createImageData(this.columns, ROWS);
    const pixels = new Uint32Array(image.data.buffer);
    for (let column = 0, at = 0; column < this.columns; column++) {
      for (let row = 0; row < ROWS; row++, at++) {
        const step = Math.round(255 * (1 + (this.levels[at] - top) / range));
        pixels[(ROWS - 1 - row) * this.columns + column] = colours[Math.max(0, Math.min(255, step))];
      }
    }
    pen.putImageData(image, 0, 0);
    return canvas;
  }
}

const decibelsOf = (power) => (power > 0 ? Math.max(FLOOR_DB, 10 * Math.log10(power)) : FLOOR_DB);
