// The page with a key: takes it, shows what it opens, and asks again what changes while somebody looks.

import { clearChat, showChat, startChat } from "./chat.js";
import { ask, forgetKey, readKey, readStoredKey, useKey } from "./client.js";
import { listNames, showBusy, showModels, showUsage } from "./models.js";
import { showSettings, startSettings } from "./settings.js";
import { say } from "./words.js";

const LOOK_EVERY_MS = 5000;
// The gateway writes its records in batches.
const RECORDED_AFTER_MS = 1000;
const find = (id) => document.getElementById(id);
const field = find("key");

startSettings();
startChat(() => setTimeout(loadUsage, RECORDED_AFTER_MS));
find("script-needed").hidden = true;
find("key-form").hidden = false;
find("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const value = field.value.trim();
  field.value = "";
  if (value) open(value, find("key-keep").checked);
});
find("key-forget").addEventListener("click", () => close(say("key_gone")));
for (const link of document.querySelectorAll("header nav a")) {
  if (link.lang === document.documentElement.lang) link.setAttribute("aria-current", "true");
}
if (readStoredKey()) open(readStoredKey(), true);
look();

async function open(value, isKept) {
  find("key-state").textContent = say("checking");
  useKey(value, isKept);
  const { status, body } = await ask("/v1/models?aliases=true");
  if (readKey() !== value) return;
  if (status !== 200) {
    close(status === 401 ? say("key_refused") : sayFailure(status));
    return;
  }
  showModels(body.data);
  const names = listNames(body.data);
  showSettings(names);
  showChat(names.filter((model) => model.mode === "chat").map((model) => model.id));
  find("keyed").hidden = false;
  find("key-needed").hidden = true;
  find("key-forget").hidden = false;
  find("key-forget").focus();
  const usage = await loadUsage();
  find("key-state").textContent = say("key_taken", { name: usage?.key ?? "" });
  await loadBusy();
}

// Without a key, as at the beginning.
function close(text) {
  forgetKey();
  clearChat();
  showChat([]);
  showModels([]);
  showSettings([]);
  showUsage(null);
  find("keyed").hidden = true;
  find("key-forget").hidden = true;
  find("key-needed").hidden = false;
  find("key-state").textContent = text;
  field.focus();
}

async function loadUsage() {
  if (!readKey()) return null;
  const { status, body } = await ask("/usage");
  const usage = status === 200 ? body : null;
  if (readKey()) showUsage(usage);
  return usage;
}

async function loadBusy() {
  const { status, body } = await ask("/health");
  if (status === 401 && readKey()) close(say("key_refused"));
  if (status === 200 && readKey()) showBusy(body.slots ?? {});
  return status;
}

// Again and again while the page is looked at; a page in the background asks nothing.
async function look() {
  if (!document.hidden) {
    const status = readKey() && !find("keyed").hidden ? await loadBusy() : (await ask("/health/readiness")).status;
    const isAway = status === 0 || status >= 500;
    find("state").classList.toggle("away", isAway);
    const word = say(isAway ? "away" : "ready");
    if (find("state").textContent !== word) find("state").textContent = word;
  }
  setTimeout(look, LOOK_EVERY_MS);
}

function sayFailure(status) {
  return status ? say("failed", { status }) : say("unreachable");
}
