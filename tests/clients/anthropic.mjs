// Runs a tool call to its end with Anthropic's client: node anthropic.mjs BASE_URL MODEL PACKAGES. One JSON line a run.
import { createRequire } from "node:module";

const [baseURL, model, packages] = process.argv.slice(2);
const { default: Anthropic } = createRequire(`${packages}/`)("@anthropic-ai/sdk");
const client = new Anthropic({ baseURL, apiKey: process.env.STACK_KEY, maxRetries: 0 });

const input_schema = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const question = { role: "user", content: "What is the weather like?" };

async function messages(streamed) {
  const tools = [{ name: "weather", input_schema }];
  const ask = async (turns) => {
    const body = { model, messages: turns, tools, max_tokens: 400, temperature: 0 };
    return streamed ? await client.messages.stream(body).finalMessage() : await client.messages.create(body);
  };
  const called = await ask([question]);
  const call = called.content.find((block) => block.type === "tool_use");
  const result = { type: "tool_result", tool_use_id: call.id, content: "sunny" };
  const told = await ask([question, { role: "assistant", content: called.content }, { role: "user", content: [result] }]);
  return { name: call.name, input: call.input, text: told.content.find((block) => block.type === "text").text };
}

for (const streamed of [false, true])
  console.log(JSON.stringify({ run: messages.name, streamed, ...(await messages(streamed)) }));
