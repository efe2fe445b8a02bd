// The settings of tools: fills in what is known by now, says what will go wrong, and copies.

import { readKey } from "./client.js";
import { say } from "./words.js";

const FALLBACK_CONTEXT = 8192;
const MOST_OUTPUT = 8192;
// Names that mean nothing else in JSON, TOML, YAML, Python, JavaScript and a shell.
const PLAIN_NAME = /^[A-Za-z][\w.:/@+-]*$/;
const COPIED_S = 2;

const places = new Map();
const choice = document.getElementById("tools-model");
const reveal = document.getElementById("tools-reveal");
let models = [];

export function startSettings() {
  for (const slot of document.querySelectorAll("[data-slot]")) places.set(slot, slot.textContent);
  put("url", location.origin);
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", () => copy(button));
  }
  choice.addEventListener("change", fill);
  reveal.addEventListener("change", fill);
}

// Fill in the models that a key may ask for; none puts the places back.
export function showSettings(found) {
  models = found;
  const chats = models.filter((model) => (model.mode ?? "chat") === "chat");
  choice.replaceChildren(...chats.map((model) => new Option(model.id)));
  document.getElementById("tools-choice").hidden = !chats.length;
  document.getElementById("tools-places").hidden = Boolean(chats.length);
  reveal.checked = false;
  fill();
}

function fill() {
  const model = models.find((item) => item.id === choice.value);
  const embed = models.find((item) => item.mode === "embedding");
  const isPlain = !model || PLAIN_NAME.test(model.id);
  const context = model && (model.context_length ?? FALLBACK_CONTEXT);
  put("model", isPlain ? model?.id : undefined);
  put("context", context);
  put("output", context && Math.min(Math.floor(context / 4), MOST_OUTPUT));
  put("embed", embed && PLAIN_NAME.test(embed.id) ? embed.id : undefined);
  put("key", reveal.checked ? readKey() : undefined);
  for (const part of document.querySelectorAll("[data-vectors]")) part.hidden = (part.dataset.vectors === "yes") !== Boolean(embed);
  const odd = document.getElementById("tools-odd");
  odd.hidden = isPlain;
  odd.textContent = isPlain ? "" : say("odd_name");
  for (const tool of document.querySelectorAll(".tool")) warn(tool, model);
}

function put(name, value) {
  for (const slot of document.querySelectorAll(`[data-slot="${name}"]`)) {
    slot.textContent = value === undefined ? places.get(slot) : String(value);
  }
}

function warn(tool, model) {
  const needs = Number(tool.dataset.context);
  const trouble = tool.querySelector("[data-trouble]");
  const lacks = model?.context_length !== undefined && model.context_length < needs;
  const found = [];
  if (model && tool.dataset.calls && model.supports_tools === false) found.push(say("no_calls", { model: model.id }));
  if (lacks) found.push(say("short_context", { needs, model: model.id, context: model.context_length }));
  trouble.textContent = found.join(" ");
  trouble.hidden = !found.length;
}

async function copy(button) {
  const code = button.parentElement.querySelector("code");
  const isCopied = (await writeClipboard(code.textContent)) || copySelection(code);
  const word = say(isCopied ? "copied" : "copy_failed");
  button.textContent = word;
  document.getElementById("spoken").textContent = word;
  setTimeout(() => {
    button.textContent = say("copy");
    document.getElementById("spoken").textContent = "";
  }, COPIED_S * 1000);
}

async function writeClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false; // browsers have it only for loopback and TLS
  }
}

function copySelection(element) {
  getSelection().selectAllChildren(element);
  return document.execCommand("copy");
}
