// The page in its visitor's language. English is what it is made of; text, and the attributes that people read, are
// translated as they appear, by the words of *.yaml beside this file, and their English is remembered. What is
// somebody's own is left alone: it stands in fields, in code, or where it says translate="no".
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
  const JOINTS = ["(?<=[.!?\u2026]) ", "; ", " \u00b7 ", " \u2192 ", ": "]
    .map((joint) => new RegExp(`(${joint}(?![^\u201c]*\u201d))`));
  const SENTENCES = 2; // so many of them part sentences
  const FILE = /\.[a-z\d]{2,5}$/i; // whose name is left alone, whatever it says
  const PLACE = /\{((?:n|words|name)\d?)\}/;
  const PLACES = { n: "[-+\u2212]?\\d+(?:[.:]\\d+)*", words: "(?:(?![.!?] ).)+?", name: ".+?" };
  const NUMBER = /^\s*[-+\u2212]?\d+\.\d+\s*$/, WORDY = /\p{L}{2}|\d \p{L}/u;
  const LONGEST = 1500, MOST_SAID = 3000; // letters of a text that is looked at, and texts that are remembered

  let language = ENGLISH, words = new Map(), patterns = [], point = ".";
  let said = new Map(), unknown = new Set(); // by their English, and what of it no word was found for
  const told = new WeakMap(); // what nodes had to say in English, and what they say

  // What is said instead of a text

  function learn(code) {
    const own = LANGUAGES[code], spoken = LANGUAGES[codeOf(navigator.language)]; // in which Gradio speaks
    const others = Object.entries(own?.gradio ?? {});
    const back = Object.entries(code === ENGLISH ? spoken?.gradio ?? {} : {}).reverse(); // the first of several counts
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
    const weight = fixed.join("").length + (fixed[0] ? LONGEST : 0); // a place in front takes too much for a name
    return { test: new RegExp(`^${body.join("")}$`), names, translated, weight };
  }

  const numeral = (number) => number.replaceAll(".", point);

  function fitted(text, wholly) { // by a key with places; `wholly`: only where what is in them is known, too
    for (const { test, names, translated } of patterns) {
      const found = test.exec(text), filled = found && names.map((name, i) => inPlace(name, found[i + 1], wholly));
      if (!filled || filled.includes(undefined)) continue;
      return names.reduce((sentence, name, i) => sentence.replaceAll(`{${name}}`, () => filled[i]), translated);
    }
    return undefined;
  }

  function inPlace(name, text, wholly) {
    if (name.startsWith("name")) return text;
    if (name.startsWith("n") || !WORDY.test(text)) return numeral(text);
    return known(text) ?? (wholly ? undefined : inPart(text));
  }

  function known(text) { // undefined where not all of it is
    if (words.has(text)) return words.get(text);
    for (const joint of JOINTS.slice(0, SENTENCES)) {
      const parts = text.split(joint);
      const all = parts.length > 1 ? parts.map((part, i) => (i % 2 ? part : known(part))) : [undefined];
      if (!all.includes(undefined)) return all.join("");
    }
    return fitted(text, true);
  }

  function inPart(text, joint = 0) { // as much of it as is known
    const roughly = joint === SENTENCES ? fitted(text, false) : undefined;
    if (roughly !== undefined) return roughly;
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
    const [, before, middle, after] = /^([\s\u00b7]*)(.*?)([\s\u00b7]*)$/s.exec(text);
    const plain = middle.replace(/\s+/g, " "), translated = known(plain) ?? inPart(plain);
    if (said.size >= MOST_SAID) said.clear();
    const lined = middle.includes(":\n") ? translated.replace(": ", ":\n") : translated; // a name has a line of its own
    said.set(text, translated === plain ? text : before + lined + after);
    return said.get(text);
  }

  // What stands on the page

  function tell(node, attribute) { // a text node, or an attribute of an element
    const now = attribute ? node.getAttribute(attribute) : node.data, name = attribute ?? "text";
    const before = told.get(node)?.[name], english = before?.spoken === now ? before.english : now;
    const spoken = say(english);
    if (spoken === now || (attribute ? node.closest("[translate=no]") : node.parentElement?.closest(OWN))) return;
    told.set(node, { ...told.get(node), [name]: { english, spoken } });
    if (attribute) node.setAttribute(attribute, spoken);
    else node.data = spoken;
  }

  const { FILTER_ACCEPT, FILTER_REJECT, SHOW_ELEMENT, SHOW_TEXT } = NodeFilter;
  const legible = (node) => (/^(script|style)$/i.test(node.nodeName) ? FILTER_REJECT : FILTER_ACCEPT);

  function tellAll(root) {
    if (legible(root) === FILTER_REJECT) return;
    const walker = document.createTreeWalker(root, SHOW_ELEMENT | SHOW_TEXT, legible);
    for (let node = root; node; node = walker.nextNode()) {
      if (node.nodeType === Node.TEXT_NODE) tell(node);
      if (node.nodeType !== Node.ELEMENT_NODE) continue;
      for (const attribute of READ) if (node.hasAttribute(attribute)) tell(node, attribute);
      if (node.matches("input[role=combobox]")) tellChoice(node);
      if (node.dataset.language) node.setAttribute("aria-pressed", String(node.dataset.language === language));
    }
  }

  // A list shows its choice in a field: visitors read it in their language, and who asks the field is told the English.
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
