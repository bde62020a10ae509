// The table of a box's sides. Rows are changed in place, so that who stands on a button with the keyboard stays there; names
// and sentences are text wherever they stand.
"use strict";
const part = (name) => element.querySelector(`[data-box="${name}"]`);
const COLUMNS = [["length", "Length"], ["band", "Music up to"], ["level", "Level"]];
const BUTTONS = { hear: "Hear", take: "Download" };

function made(tag, settings = {}, ...children) {
  const node = Object.assign(document.createElement(tag), settings);
  node.append(...children);
  return node;
}

function newRow() {
  const head = made("th", { scope: "row", translate: false }); // its owner's name for it
  const state = made("td", { className: "state" }, made("span", { className: "said" }), made("progress", { max: 1 }),
    made("span", { className: "words" }));
  const figures = COLUMNS.map(([name, title]) => {
    const cell = made("td", { className: `figure ${name}` });
    cell.dataset.head = title;
    return cell;
  });
  const buttons = Object.entries(BUTTONS).map(([does, words]) => {
    const button = made("button", { type: "button", textContent: words });
    button.dataset.does = does;
    return button;
  });
  return made("tr", {}, head, state, ...figures, made("td", { className: "take" }, buttons[0], " ", buttons[1]));
}

function put(node, words) {
  if (node.textContent !== words) node.textContent = words;
}

function fill(row, side) {
  row.dataset.state = side.state;
  row.toggleAttribute("data-done", side.done);
  put(row.querySelector("th"), side.name);
  put(row.querySelector(".said"), side.said);
  put(row.querySelector(".words"), side.words);
  for (const [name] of COLUMNS) put(row.querySelector(`.${name}`), side[name]);
  const bar = row.querySelector("progress");
  bar.hidden = side.state !== "running";
  bar.value = side.share;
  bar.setAttribute("aria-label", `Progress of ${side.name}`);
  for (const button of row.querySelectorAll("button")) {
    button.hidden = !side.done;
    button.setAttribute("aria-label", `${BUTTONS[button.dataset.does]} ${side.name}, restored`);
  }
}

function show() {
  const sides = props.value?.sides ?? [], rows = part("rows");
  while (rows.children.length > sides.length) rows.lastChild.remove();
  while (rows.children.length < sides.length) rows.append(newRow());
  sides.forEach((side, number) => fill(rows.children[number], side));
  part("sides").hidden = !sides.length;
}

element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-does]");
  if (!button) return;
  trigger("click", { does: button.dataset.does, side: [...part("rows").children].indexOf(button.closest("tr")) });
  if (button.dataset.does !== "hear") return;
  const desk = document.querySelector("#desk .desk"); // where it will be heard
  desk?.focus({ preventScroll: true });
  desk?.scrollIntoView({ block: "center" });
});
watch("value", show);
show();
