// A recording may be dropped anywhere on the page, also where there is one already, and so may a chain's file where one is
// asked for. What cannot be read here is refused before it is sent.
"use strict";
(() => {
  const films = document.currentScript.dataset.reads === "films"; // whether FFmpeg is there to read them
  const REFUSED = films
    ? /\.(dsf|dff|mid|midi|txt|pdf|jpe?g|png|zip)$/i
    : /\.(m4[abpv]|aac|wma|mp4|mov|mkv|webm|avi|3gp|amr|ape|ac3|dsf|dff|mid|midi|txt|pdf|jpe?g|png|zip)$/i;
  const RECORDINGS = "input[type=file][data-testid$=upload-button]", CHAINS = "#chain-place input[type=file]";
  const GIVEN = "#recording :is(audio, .waveform-container, [data-testid=waveform-x])"; // a recording lies there
  const BOX = "#box input[type=file]";
  const isChain = (file) => /\.ya?ml$/i.test(file?.name ?? "");
  let awaited = 0; // the timer that waits for an example
  const part = (selector) => document.querySelector(selector);

  function refuse(files) { // says so and returns true where the first file cannot be read
    const name = files[0]?.name ?? "", lost = isChain(files[0]) && !part(CHAINS), refused = lost || REFUSED.test(name);
    const told = part("#refusal");
    if (told && lost) {
      told.textContent = `\u201c${name}\u201d is a chain. Choose \u201cBy a chain of your own\u201d and drop it again.`;
    } else if (told) {
      told.textContent = refused
        ? `\u201c${name}\u201d cannot be read here. Save it as WAV or FLAC (or MP3) with an audio program and drop that.`
        : "";
    }
    return refused;
  }

  document.addEventListener("change", (event) => { // chosen in a dialog
    const input = event.target;
    if (!(input instanceof HTMLInputElement) || input.type !== "file" || !input.files.length) return;
    if (input.closest("#box")) return; // what cannot be read of many is told in their table
    if (input.matches(RECORDINGS)) mark(null);
    if (refuse(input.files)) {
      event.stopImmediatePropagation();
      input.value = "";
    } else if (!isChain(input.files[0]) && !input.files[0].type.startsWith("audio/")) {
      // Gradio would refuse a film, and a FLAC of some systems.
      event.stopImmediatePropagation();
      give(input, input.files[0]);
    }
  }, true);
  document.addEventListener("click", (event) => { // the dialog that follows shows films, too
    if (films && event.target.matches?.("#recording input[type=file]")) event.target.accept = "audio/*,video/*";
  }, true);

  function give(input, file) { // as a sound, by its name where its system knows no better
    clearInterval(awaited);
    const sound = new DataTransfer();
    const type = file.type.startsWith("audio/") ? file.type : `audio/${file.name.split(".").pop().toLowerCase()}`;
    sound.items.add(new File([file], file.name, { type }));
    input.files = sound.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  }

  function mark(card) { // the example that was taken
    document.querySelectorAll("[data-example]").forEach((each) => each.setAttribute("aria-pressed", each === card));
  }

  // An example of the gallery sounds as soon as it lies on the desk.
  document.addEventListener("click", (event) => {
    const card = event.target.closest?.("[data-example]");
    if (!card) return;
    mark(card);
    const desk = part("#desk .desk"), last = Date.now() + 20000;
    if (!desk) return;
    if (innerWidth < 800) desk.scrollIntoView({ block: "start" });
    clearInterval(awaited);
    const liesThere = card === part("[data-example]") && desk.dataset.state === "ready" && !part(GIVEN); // since the page opened
    if (liesThere) {
      if (desk.parentElement.desk.playing()) return;
      part("#desk [data-name=restored]").click();
      part("#desk [data-desk=play]").click();
      return;
    }
    desk.dataset.state = "awaited"; // until it is laid there
    awaited = setInterval(() => {
      const ready = desk.dataset.state === "ready";
      if (ready && !desk.parentElement.desk.playing()) part("#desk [data-desk=play]").click();
      if (ready || Date.now() > last) clearInterval(awaited);
    }, 100);
  });

  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragover", (event) => { if (hasFiles(event)) event.preventDefault(); }, true);
  document.addEventListener("drop", (event) => {
    const files = event.dataTransfer?.files;
    const box = event.target.closest?.("#box"), many = part(BOX);
    const input = part(isChain(files?.[0]) ? CHAINS : RECORDINGS);
    if (!files?.length) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (box && many) {
      many.files = files;
      many.dispatchEvent(new Event("change", { bubbles: true }));
      return;
    }
    if (refuse(files) || !input) return;
    give(input, files[0]);
  }, true);

  // The presets are stops of one slider: arrow keys go from one to the next, which asks for one name of all (Gradio gives
  // each its own), and a pointer that is held down draws the choice along.
  let drawn = false;
  document.addEventListener("keydown", (event) => {
    if (event.target.closest?.("#how")) document.querySelectorAll("#how input").forEach((stop) => { stop.name = "how"; });
  }, true);
  document.addEventListener("pointerdown", (event) => {
    drawn = Boolean(event.target.closest?.("#how label"));
    if (drawn) event.target.releasePointerCapture(event.pointerId); // a finger would stay with the stop it came down on
  });
  document.addEventListener("pointerover", (event) => {
    const stop = drawn && event.buttons & 1 ? event.target.closest?.("#how label") : null;
    if (stop && !stop.classList.contains("selected")) stop.click();
  });

  // Pictures are drawn for a dark page or a light one: a box that nobody sees tells which.
  function tellTheme() {
    const box = part("#dark input");
    if (box && box.checked !== document.body.classList.contains("dark")) box.click();
  }
  new MutationObserver(tellTheme).observe(document.documentElement, { subtree: true, attributeFilter: ["class"] });

  // Gradio opens its page for programs when the button is pressed, but not where its address asks for it.
  if (new URLSearchParams(location.search).get("view") === "api") {
    history.replaceState(null, "", location.pathname);
    const opens = setInterval(() => {
      const button = part("footer .show-api");
      if (!button) return;
      clearInterval(opens);
      button.click();
    }, 200);
  }

  // To who cannot see, Gradio says at the foot everything twice, and of a picture that is not there yet not what it is.
  new MutationObserver(() => {
    document.querySelectorAll("footer img:not([alt=''])").forEach((img) => { img.alt = ""; }); // words stand beside it
    document.querySelectorAll(".empty[aria-label]:not([role])").forEach((place) => place.setAttribute("role", "img"));
  }).observe(document.documentElement, { childList: true, subtree: true, attributeFilter: ["alt"] });

  // Restore and Stop take each other's place. Who pressed one with the keyboard goes on with the other.
  let inBar = false;
  document.addEventListener("focusin", (event) => { inBar = Boolean(event.target.closest("#bar")); });
  new MutationObserver(() => {
    if (inBar && document.activeElement === document.body) part("#bar button:not([disabled])")?.focus({ preventScroll: true });
  }).observe(document.documentElement, { childList: true, subtree: true, attributeFilter: ["class", "disabled"] });
})();
