// The page in its visitor's language. English is what it is made of; text, and the attributes that people read, are
// translated as they appear, by the words of *.yaml beside this file, and their English is remembered. What is somebody's
// own is left alone: it stands in fields, in code, or where it says translate="no".
//
// A key may hold places: {n} is a number, {words} is translated in its turn, {name} is left as it is; a digit behind
// them (as in {n2}) tells several of a kind apart. What is no key is translated sentence by sentence.
"use strict";
(() => {
  const LANGUAGES = JSON.parse(document.querySelector("#words").textContent), ENGLISH = "en";
  const KEPT_IN = "babe2-language"; // where a browser keeps what its visitor has chosen
  const OWN = "script, style, code, pre, textarea, .filename, [translate=no]"; // whose text is nobody's to translate
  const READ = ["aria-label", "aria-valuetext", "placeholder", "title", "alt", "data-head"]; // attributes
  // Between which a text may be known in parts, but for what stands within quotation marks: that is a name.
  const JOINTS = ["(?<=[.!?\u2026]) ", " \u00b7 ", "; ", " \u2192 ", ": "].map((joint) => new RegExp(`(${joint}(?![^\u201c]*\u201d))`));
  const FILE = /\.[a-z\d]{2,5}$/i; // whose name is left alone, whatever it says
  const PLACE = /\{((?:n|words|name)\d?)\}/;
  const PLACES = { n: "[-+\u2212]?\\d+(?:[.:]\\d+)*", words: "(?:(?![.!?;] ).)+?", name: ".+?" };
  const NUMBER = /^\s*[-+\u2212]?\d+\.\d+\s*$/, WORDY = /\p{L}{2}|\d \p{L}/u;
  const LONGEST = 1500, MOST_SAID = 3000; // letters of a text that is looked at, and texts that are remembered

  let language = ENGLISH, words = new Map(), patterns = [], point = ".";
  let said = new Map(), unknown = new Set(); // by their English, and what of it no word was found for
  const told = new WeakMap(); // what nodes had to say in English, and what they say

  // What is said instead of a text

  function learn(code) {
    const own = LANGUAGES[code], spoken = LANGUAGES[codeOf(navigator.language)]; // in which Gradio speaks
    const others = Object.entries(own?.gradio ?? {}), back = Object.entries(code === ENGLISH ? spoken?.gradio ?? {} : {});
    const all = [...Object.entries(own?.words ?? {}), ...others, ...back.map(([english, theirs]) => [theirs, english])];
    words = new Map(all);
    patterns = all.filter(([key]) => PLACE.test(key)).map(pattern).sort((a, b) => b.weight - a.weight);
    point = new Intl.NumberFormat(code).format(1.5)[1];
    [said, unknown] = [new Map(), new Set()];
  }

  function pattern([key, translated]) {
    const parts = key.split(PLACE), names = parts.filter((_, i) => i % 2), fixed = parts.filter((_, i) => i % 2 === 0);
    const escaped = fixed.map((part) => part.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"));
    const body = escaped.map((part, i) => part + (i < names.length ? `(${PLACES[names[i].replace(/\d/, "")]})` : ""));
    const weight = fixed.join("").length + (fixed[0] ? LONGEST : 0); // what begins with a place takes too much for a name
    return { test: new RegExp(`^${body.join("")}$`), names, translated, weight };
  }

  const numeral = (number) => number.replaceAll(".", point);

  function fitted(text) { // by a key with places
    for (const { test, names, translated } of patterns) {
      const found = test.exec(text);
      if (!found) continue;
      const filled = names.map((name, i) => [name, inPlace(name, found[i + 1])]);
      return filled.reduce((sentence, [name, value]) => sentence.replaceAll(`{${name}}`, () => value), translated);
    }
    return undefined;
  }

  function inPlace(name, text) {
    if (name.startsWith("name")) return text;
    return name.startsWith("n") ? numeral(text) : known(text) ?? inPart(text);
  }

  function known(text) { // undefined where not all of it is
    if (words.has(text)) return words.get(text);
    const sentences = text.split(JOINTS[0]);
    if (sentences.length > 1) {
      const all = sentences.map((sentence, i) => (i % 2 ? sentence : known(sentence)));
      if (!all.includes(undefined)) return all.join("");
    }
    return fitted(text);
  }

  function inPart(text, joint = 0) { // as much of it as is known
    if (joint === JOINTS.length || FILE.test(text)) {
      if (WORDY.test(text) && unknown.size < MOST_SAID) unknown.add(text);
      return text;
    }
    const parts = text.split(JOINTS[joint]);
    return parts.map((part, i) => (i % 2 ? part : known(part) ?? inPart(part, joint + 1))).join("");
  }

  function say(text) {
    if (!words.size || text.length > LONGEST) return text;
    if (!WORDY.test(text)) return NUMBER.test(text) ? numeral(text) : text;
    if (said.has(text)) return said.get(text);
    const [, before, middle, after] = /^([\s\u00b7]*)(.*?)([\s\u00b7]*)$/s.exec(text), plain = middle.replace(/\s+/g, " ");
    const translated = known(plain) ?? inPart(plain);
    if (said.size >= MOST_SAID) said.clear();
    said.set(text, translated === plain ? text : before + translated + after);
    return said.get(text);
  }

  // What stands on the page

  function tell(node, attribute) { // a text node, or an attribute of an element
    const now = attribute ? node.getAttribute(attribute) : node.data, name = attribute ?? "text";
    const before = told.get(node)?.[name], english = before?.spoken === now ? before.english : now, spoken = say(english);
    if (spoken === now || (attribute ? node.closest("[translate=no]") : node.parentElement?.closest(OWN))) return;
    told.set(node, { ...told.get(node), [name]: { english, spoken } });
    if (attribute) node.setAttribute(attribute, spoken);
    else node.data = spoken;
  }

  const legible = (node) => (/^(script|style)$/i.test(node.nodeName) ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT);

  function tellAll(root) {
    if (legible(root) === NodeFilter.FILTER_REJECT) return;
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT, legible);
    for (let node = root; node; node = walker.nextNode()) {
      if (node.nodeType === Node.TEXT_NODE) tell(node);
      if (node.nodeType !== Node.ELEMENT_NODE) continue;
      for (const attribute of READ) if (node.hasAttribute(attribute)) tell(node, attribute);
      if (node.matches("input[role=combobox]")) tellChoice(node);
      if (node.dataset.language) node.setAttribute("aria-pressed", String(node.dataset.language === language));
    }
  }

  // A list shows its choice in a field. Whoever asks the field is told in English what was chosen; it shows the same in words.
  const { get, set } = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value");

  function tellChoice(input) {
    if (Object.hasOwn(input, "value")) {
      input.value = input.value; // which says it anew
      return;
    }
    let english = get.call(input), shown = english;
    Object.defineProperty(input, "value", {
      configurable: true,
      get: () => (get.call(input) === shown ? english : get.call(input)), // or what somebody has typed
      set: (value) => {
        [english, shown] = [value, say(String(value ?? ""))];
        set.call(input, shown);
      },
    });
    input.value = english;
  }

  const observer = new MutationObserver((changes) => {
    for (const { type, target, attributeName, addedNodes } of changes) {
      if (type === "childList") addedNodes.forEach(tellAll);
      else tell(target, attributeName ?? undefined);
    }
    observer.takeRecords(); // those of what was told just now
  });
  const watched = { subtree: true, childList: true, characterData: true, attributeFilter: READ };

  // Which language it is

  const codeOf = (tag) => (tag ?? "").split("-")[0].toLowerCase();
  const isSpoken = (code) => code === ENGLISH || Object.hasOwn(LANGUAGES, code);

  function chosen() {
    let code = null;
    try {
      code = localStorage.getItem(KEPT_IN);
    } catch { /* a browser may keep nothing */ }
    return [code, ...navigator.languages.map(codeOf)].find(isSpoken) ?? ENGLISH;
  }

  function speak(code) {
    observer.disconnect();
    learn(language = code);
    document.documentElement.lang = code;
    tellAll(document.documentElement);
    if (words.size) observer.observe(document.documentElement, watched);
  }

  document.addEventListener("click", (event) => {
    const code = event.target.closest?.("[data-language]")?.dataset.language;
    if (!isSpoken(code)) return;
    try {
      localStorage.setItem(KEPT_IN, code);
    } catch { /* then it is for this visit */ }
    speak(code);
  });
  new MutationObserver(() => { // Gradio tells its own language there
    if (document.documentElement.lang !== language) document.documentElement.lang = language;
  }).observe(document.documentElement, { attributeFilter: ["lang"] });
  speak(chosen());

  // For whoever wants to know what is not translated yet.
  window.words = { say, unknown: () => [...unknown] };
})();
