// A recording may be dropped anywhere on the page, also where there is one already. What cannot be read here is refused
// before it is sent.
"use strict";
(() => {
  const REFUSED = /\.(m4[abpv]|aac|wma|mp4|mov|mkv|webm|avi|3gp|amr|ape|ac3|dsf|dff|mid|midi)$/i;
  const part = (selector) => document.querySelector(selector);

  function refuse(files) { // says so and returns true where the first file cannot be read
    const name = files[0]?.name ?? "", refused = REFUSED.test(name);
    const told = part("#refusal");
    if (told) {
      told.textContent = refused
        ? `\u201c${name}\u201d cannot be read here. Save it as WAV or FLAC (or MP3) with an audio program and drop that.`
        : "";
    }
    return refused;
  }

  document.addEventListener("change", (event) => { // chosen in a dialog
    const input = event.target;
    if (!(input instanceof HTMLInputElement) || input.type !== "file" || !input.files.length) return;
    if (!refuse(input.files)) return;
    event.stopImmediatePropagation();
    input.value = "";
  }, true);

  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragover", (event) => { if (hasFiles(event)) event.preventDefault(); }, true);
  document.addEventListener("drop", (event) => {
    const files = event.dataTransfer?.files, input = part("input[type=file][data-testid$=upload-button]");
    if (!files?.length || !input) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (refuse(files)) return;
    const first = new DataTransfer();
    const kind = files[0].name.split(".").pop().toLowerCase();
    const type = files[0].type || `audio/${kind}`; // some systems know no type for FLAC, and Gradio goes by it
    first.items.add(new File([files[0]], files[0].name, { type }));
    input.files = first.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  }, true);

  // Restore and Stop take each other's place. Who pressed one with the keyboard goes on with the other.
  let inBar = false;
  document.addEventListener("focusin", (event) => { inBar = Boolean(event.target.closest("#bar")); });
  new MutationObserver(() => {
    if (inBar && document.activeElement === document.body) part("#bar button:not([disabled])")?.focus({ preventScroll: true });
  }).observe(document.documentElement, { childList: true, subtree: true, attributeFilter: ["class", "disabled"] });
})();
