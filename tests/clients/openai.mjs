// Runs a tool call to its end with OpenAI's client: node openai.mjs BASE_URL MODEL PACKAGES. Prints one JSON line a run.
import { createRequire } from "node:module";

const [baseURL, model, packages] = process.argv.slice(2);
const { default: OpenAI } = createRequire(`${packages}/`)("openai");
const client = new OpenAI({ baseURL: `${baseURL}/v1`, apiKey: process.env.STACK_KEY, maxRetries: 0 });

const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const question = { role: "user", content: "What is the weather like?" };

async function chat(streamed) {
  const tools = [{ type: "function", function: { name: "weather", parameters } }];
  const ask = async (messages) => {
    const body = { model, messages, tools, temperature: 0 };
    const completion = streamed
      ? await client.chat.completions.stream(body).finalChatCompletion()
      : await client.chat.completions.create(body);
    return completion.choices[0].message;
  };
  const called = await ask([question]);
  const [call] = called.tool_calls;
  const result = { role: "tool", tool_call_id: call.id, content: "sunny" };
  const told = await ask([question, called, result]);
  return { name: call.function.name, input: JSON.parse(call.function.arguments), text: told.content };
}

async function responses(streamed) {
  const tools = [{ type: "function", name: "weather", parameters, strict: false }];
  const ask = async (input) => {
    const body = { model, input, tools, temperature: 0 };
    return streamed ? await client.responses.stream(body).finalResponse() : await client.responses.create(body);
  };
  const called = await ask([question]);
  const call = called.output.find((item) => item.type === "function_call");
  const result = { type: "function_call_output", call_id: call.call_id, output: "sunny" };
  const told = await ask([question, ...called.output, result]);
  return { name: call.name, input: JSON.parse(call.arguments), text: told.output_text };
}

for (const run of [chat, responses])
  for (const streamed of [false, true])
    console.log(JSON.stringify({ run: run.name, streamed, ...(await run(streamed)) }));
