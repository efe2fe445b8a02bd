// Asks the gateway. The key is kept here, and in the tab's session storage where its owner wants that; nowhere else.

const STORED = "gateway-key";
let key = "";

export function useKey(value, isKept) {
  key = value;
  if (isKept) sessionStorage.setItem(STORED, value);
  else sessionStorage.removeItem(STORED);
}

export function forgetKey() {
  useKey("", false);
}

export function readStoredKey() {
  return sessionStorage.getItem(STORED) ?? "";
}

export function readKey() {
  return key;
}

// The status and the JSON of an answer; status 0 where nothing answered.
export async function ask(path) {
  try {
    const answer = await fetch(path, { headers: key ? { authorization: `Bearer ${key}` } : {}, cache: "no-store" });
    return { status: answer.status, body: await readJson(answer) };
  } catch {
    return { status: 0, body: null };
  }
}

// The events of a streamed chat, as objects. Throws an Error with the gateway's own words where it refuses.
export async function* streamChat(request, signal) {
  const answer = await fetch("/v1/chat/completions", {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ ...request, stream: true, stream_options: { include_usage: true } }),
    signal,
  });
  if (!answer.ok) throw new Error((await readJson(answer))?.error?.message ?? String(answer.status));
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const data = line.startsWith("data:") ? line.slice(5).trim() : "";
      if (data === "[DONE]") return;
      if (!data) continue;
      const event = JSON.parse(data);
      if (event.error) throw new Error(event.error.message ?? "");
      yield event;
    }
  }
}

async function readJson(answer) {
  try {
    return await answer.json();
  } catch {
    return null;
  }
}
