// Tables of what the gateway serves, what is busy now, and what the key used.

import { say, sayNumber } from "./words.js";

const find = (id) => document.getElementById(id);

// Models by their own names, with the aliases of each beside it.
export function showModels(entries) {
  const models = entries.filter((entry) => !entry.alias_of);
  const known = new Set(models.map((model) => model.id));
  const alone = entries.filter((entry) => entry.alias_of && !known.has(entry.alias_of));
  find("models").replaceChildren(
    ...[...models, ...alone].map((model) => {
      const aliases = entries.filter((entry) => entry.alias_of === model.id).map((entry) => entry.id);
      return makeRow([
        makeHead(model.id),
        makeCell(say(`mode_${model.mode}`)),
        makeCell(model.context_length === undefined ? say("unknown") : sayNumber(model.context_length), true),
        makeCell(sayWhether(model)),
        makeCell(aliases.join(", ")),
      ]);
    }),
  );
}

// The names that can be put into a request: patterns cannot.
export function listNames(entries) {
  return entries.filter((entry) => !entry.id.includes("*"));
}

export function showBusy(slots) {
  const names = Object.keys(slots);
  find("busy-some").hidden = !names.length;
  find("busy-none").textContent = names.length ? "" : say("none_busy");
  find("busy").replaceChildren(
    ...names.map((name) =>
      makeRow([makeHead(name), makeCell(say("slots", slots[name]), true), makeCell(sayNumber(slots[name].waiting), true)]),
    ),
  );
}

// What `/usage` answered; null where nothing is recorded.
export function showUsage(usage) {
  const days = usage?.days ?? [];
  find("usage-some").hidden = !days.length;
  find("usage-said").textContent = usage ? sayLimits(usage, days) : say("usage_off");
  find("usage").replaceChildren(...days.map((day) => makeRow([makeHead(day.name), ...listCells(day)])));
  const total = find("usage-total");
  total.replaceChildren(total.firstElementChild, ...(usage ? listCells(usage.total) : []));
}

function sayLimits(usage, days) {
  const said = days.length ? [] : [say("no_usage")];
  const limits = Object.entries(usage.limits ?? {});
  if (limits.length) {
    said.push(say("limits", { limits: limits.map(([name, limit]) => say(`limit_${name}`, { limit })).join(", ") }));
  }
  if (usage.budget) {
    said.push(say("budget", { ...usage.budget, period: say(`period_${usage.budget.period}`) }));
  }
  if (usage.expires_at) {
    const date = new Date(usage.expires_at * 1000);
    said.push(say("expires", { date: date.toLocaleDateString(document.documentElement.lang) }));
  }
  return said.join(" ");
}

function listCells(sum) {
  const counted = [sum.requests, sum.failed, sum.prompt_tokens, sum.completion_tokens];
  return counted.map((number) => makeCell(sayNumber(number), true));
}

function sayWhether(model) {
  if (model.mode !== "chat") return "";
  return model.supports_tools === undefined ? say("unknown") : say(model.supports_tools ? "yes" : "no");
}

function makeRow(cells) {
  const row = document.createElement("tr");
  row.append(...cells);
  return row;
}

function makeHead(text) {
  const cell = document.createElement("th");
  cell.scope = "row";
  cell.textContent = text;
  return cell;
}

function makeCell(text, isNumber = false) {
  const cell = document.createElement("td");
  cell.textContent = text;
  if (isNumber) cell.className = "number";
  return cell;
}
