// A chat: what was said is kept in this tab, and drawn as it comes.

import { streamChat } from "./client.js";
import { renderMarkdown } from "./markdown.js";
import { say } from "./words.js";

const find = (id) => document.getElementById(id);
const log = find("chat-log");
const form = find("chat-form");
const input = find("chat-input");
const stop = find("chat-stop");
const send = form.querySelector("[type=submit]");
// A drawing takes no more than this part of the time, however long the answer gets.
const REST = 5;
// A shorter time says nothing of a model's speed.
const SHORTEST_MS = 250;

let messages = [];
let running = null;

// `afterwards` is called when an answer has ended.
export function startChat(afterwards) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!running && input.value.trim()) talk(input.value).then(afterwards);
  });
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });
  stop.addEventListener("click", () => running?.abort());
  find("chat-new").addEventListener("click", clearChat);
}

export function showChat(names) {
  find("chat-model").replaceChildren(...names.map((name) => new Option(name)));
}

export function clearChat() {
  running?.abort();
  messages = [];
  log.replaceChildren();
  find("chat-state").textContent = "";
}

async function talk(text) {
  const asked = [...messages, { role: "user", content: text }];
  const model = find("chat-model").value;
  const mine = addTurn("mine", say("you"));
  mine.said.textContent = text;
  const turn = addTurn("theirs", model);
  const control = begin();
  const answer = new Answer(turn);
  let outcome;
  try {
    for await (const event of streamChat({ model, messages: asked }, control.signal)) answer.take(event);
    outcome = answer.sayEnd();
  } catch (error) {
    outcome = control.signal.aborted ? say("stopped") : sayFailure(error);
  }
  answer.close(outcome);
  if (outcome && !answer.text && !control.signal.aborted) input.value ||= text; // to be sent again
  // A conversation that was begun anew meanwhile has nothing of this.
  if (running === control && answer.text) messages = [...asked, { role: "assistant", content: answer.text }];
  end(control, outcome);
}

function begin() {
  running = new AbortController();
  input.value = "";
  send.disabled = true;
  stop.disabled = false;
  find("chat-state").textContent = say("answering");
  return running;
}

function end(control, outcome) {
  if (running !== control) return;
  running = null;
  send.disabled = false;
  if (document.activeElement === stop) input.focus();
  stop.disabled = true;
  if (log.childElementCount) find("chat-state").textContent = outcome || say("answered");
}

// The gateway's own words, or ours for what browsers have theirs for.
function sayFailure(error) {
  if (error instanceof TypeError) return say("unreachable");
  return error instanceof SyntaxError || !error.message ? say("cut") : error.message;
}

function addTurn(kind, who) {
  const box = document.createElement("div");
  box.className = `turn ${kind}`;
  const named = document.createElement("p");
  named.className = "who";
  named.textContent = who;
  const said = document.createElement("div");
  said.className = "said";
  box.append(named, said);
  log.append(box);
  log.scrollTop = log.scrollHeight;
  return { box, said };
}

// One answer as it comes.
class Answer {
  text = "";
  thoughts = "";
  finish = "";
  tokens = 0;
  pieces = 0;
  askedAt = performance.now();
  begunAt = 0;
  lastAt = 0;
  timer = 0;
  nextDrawing = 0;

  constructor(turn) {
    this.turn = turn;
    this.speed = document.createElement("p");
    this.speed.className = "aside";
    turn.box.append(this.speed);
  }

  take(event) {
    const choice = event.choices?.[0];
    const text = choice?.delta?.content ?? "";
    const thought = choice?.delta?.reasoning_content ?? "";
    if (event.usage?.completion_tokens) this.tokens = event.usage.completion_tokens;
    if (choice?.finish_reason) this.finish = choice.finish_reason;
    if (!text && !thought) return;
    this.begunAt ||= performance.now();
    this.pieces += 1;
    this.text += text;
    this.thoughts += thought;
    this.lastAt = performance.now();
    this.timer ||= setTimeout(() => this.draw(), Math.max(0, this.nextDrawing - performance.now()));
  }

  draw() {
    const start = performance.now();
    const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    clearTimeout(this.timer);
    this.timer = 0;
    this.drawThoughts();
    this.turn.said.replaceChildren(renderMarkdown(this.text, say("image")));
    this.speed.textContent = this.saySpeed();
    if (isAtEnd) log.scrollTop = log.scrollHeight;
    this.nextDrawing = performance.now() + Math.max(16, (performance.now() - start) * REST);
  }

  drawThoughts() {
    if (!this.thoughts) return;
    if (!this.thinking) {
      this.thinking = document.createElement("details");
      const title = document.createElement("summary");
      title.textContent = say("thinking");
      this.thought = document.createElement("p");
      this.thinking.append(title, this.thought);
      this.turn.said.before(this.thinking);
    }
    this.thought.textContent = this.thoughts;
  }

  saySpeed() {
    const tokens = this.tokens || this.pieces;
    if (tokens < 2) return "";
    // The first token comes with the prompt's time, which is another figure; a short answer comes all at once.
    const writing = this.lastAt - this.begunAt;
    const seconds = (writing > SHORTEST_MS ? writing : this.lastAt - this.askedAt) / 1000;
    return say("speed", { tokens, rate: Math.round(((tokens - 1) / seconds) * 10) / 10 });
  }

  sayEnd() {
    if (!this.finish) return say("cut");
    return this.finish === "length" ? say("length") : "";
  }

  close(outcome) {
    this.draw();
    if (!this.text && !this.thoughts && !outcome) this.turn.said.textContent = say("empty");
    if (!outcome) return;
    const said = document.createElement("p");
    said.className = "failed";
    said.textContent = outcome;
    this.turn.box.append(said);
  }
}
