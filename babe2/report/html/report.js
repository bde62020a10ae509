// A report's page: sets the listening desk up (`desk`, in front of this), and lets the spectrograms follow it.
"use strict";

const night = matchMedia("(prefers-color-scheme: dark)");
const byNight = () => document.body.classList.toggle("dark", night.matches);
night.addEventListener("change", byNight);
byNight();

const element = document.querySelector(".listening"), plain = document.querySelector(".plain");
const value = JSON.parse(document.querySelector("script.tracks").textContent);
for (const track of value.tracks) { // the sound lies in the page once, where any browser plays it without a script
  track.file = { url: [...plain.querySelectorAll("audio")].find((sound) => sound.dataset.key === track.key).src };
}
desk(element, { value }, () => {});
plain.hidden = true;
element.hidden = false;

// The pictures: where the music is, which one is heard, and a click that goes there.

const pictures = [...document.querySelectorAll(".spectrogram")];
element.addEventListener("playhead", ({ detail }) => {
  if (element.desk.state() !== "ready") return;
  const heard = element.desk.track();
  for (const picture of pictures) {
    const cursor = picture.querySelector(".cursor");
    cursor.hidden = false;
    cursor.style.left = `${100 * detail}%`;
    picture.classList.toggle("heard", picture.dataset.key === heard);
  }
});
for (const axes of document.querySelectorAll(".axes")) {
  axes.addEventListener("click", (event) => {
    const box = axes.getBoundingClientRect();
    element.desk.goTo(Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)));
  });
}

// The desk's keys work wherever nothing else wants them.

const KEYS = [" ", "ArrowLeft", "ArrowRight", "1", "2", "3", "4", "5", "6", "[", "]", "l", "L", "Escape", "+", "=", "-", "0", "s", "S"];
document.addEventListener("keydown", (event) => {
  const { key, shiftKey, target } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || !KEYS.includes(key) || element.contains(target)) return;
  if (target.closest("a, button, input, select, summary, [tabindex]")) return; // arrows scroll a wide table
  const passed = new KeyboardEvent("keydown", { key, shiftKey, cancelable: true });
  if (!element.querySelector(".desk").dispatchEvent(passed)) event.preventDefault();
});
