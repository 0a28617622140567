// Draws /v1/openapi.json, with a form to try each operation. Text only ever becomes text: nothing is parsed as HTML.
"use strict";

const SHOWN_BYTES = 65536;
const METHODS = ["get", "post", "patch", "put", "delete"];

/** A new element with properties and children. */
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Follows a reference inside of the description. */
function resolve(description, schema) {
  if (!schema || !schema.$ref) return schema || {};
  const found = schema.$ref.slice(2).split("/").reduce((node, key) => node && node[key], description);
  return found || {};
}

/** A type in words. */
function typeName(description, schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  const options = schema.oneOf || schema.anyOf;
  if (options) return options.map((option) => typeName(description, option)).join(" | ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const types = [].concat(schema.type || "any");
  return types.map((type) => (type === "array" ? typeName(description, schema.items) + "[]" : type)).join(" | ");
}

/** The properties of a schema, one per row. */
function propertyTable(description, schema) {
  const properties = Object.entries(resolve(description, schema).properties || {});
  if (properties.length === 0) return "";
  const row = ([name, property]) =>
    make("tr", {}, make("td", {}, make("code", { textContent: name })), make("td", { textContent: typeName(description, property) }),
      make("td", { textContent: property.description || resolve(description, property).description || "" }));
  return make("table", {}, ...properties.map(row));
}

/** A body to begin with. */
function sampleBody(description, type, content) {
  if (content.example !== undefined) return typeof content.example === "string" ? content.example : JSON.stringify(content.example, null, 2);
  if (type !== "application/json") return "";
  const properties = Object.entries(resolve(description, content.schema).properties || {});
  const sample = Object.fromEntries(properties.filter(([, property]) => property.example !== undefined).map(([name, property]) => [name, property.example]));
  return JSON.stringify(sample, null, 2);
}

/** Rows of inputs for parameters; returns the table and the inputs. */
function parameterForm(description, operation) {
  const inputs = (operation.parameters || []).map((parameter) => ({
    parameter,
    input: make("input", { ariaLabel: parameter.name, placeholder: typeName(description, parameter.schema) }),
  }));
  const row = ({ parameter, input }) =>
    make("tr", {}, make("td", {}, make("code", { textContent: parameter.name + (parameter.required ? " *" : "") })),
      make("td", { textContent: parameter.in }), make("td", { textContent: parameter.description || "" }), make("td", {}, input));
  return { inputs, table: inputs.length ? make("table", {}, ...inputs.map(row)) : "" };
}

/** The request that the form describes. */
function buildRequest(path, method, inputs, accept, body) {
  const headers = {};
  const query = new URLSearchParams();
  let url = path;
  for (const { parameter, input } of inputs) {
    if (parameter.in === "path") url = url.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
    else if (input.value !== "" && parameter.in === "query") query.append(parameter.name, input.value);
    else if (input.value !== "") headers[parameter.name] = input.value;
  }
  if (accept.value) headers.Accept = accept.value;
  const options = { method: method.toUpperCase(), headers };
  if (body) {
    headers["Content-Type"] = body.type.value;
    options.body = body.text.value;
  }
  return [query.size ? `${url}?${query}` : url, options];
}

/** Sends the request and shows the answer as it comes. */
async function send(request, output, stop) {
  output.textContent = "…";
  try {
    const [url, options] = request;
    const response = await fetch(url, { ...options, signal: stop });
    const headers = [...response.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
    output.textContent = `${options.method} ${url}\n${response.status} ${response.statusText}\n${headers}\n\n`;
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    let left = SHOWN_BYTES;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      output.append(decoder.decode(value.subarray(0, left), { stream: true }));
      left -= value.length;
      if (left <= 0) {
        output.append("\n… cut here");
        return void reader.cancel();
      }
    }
  } catch (error) {
    output.append(`\n${error}`);
  }
}

/** The form for the body of an operation, if it has one. */
function bodyForm(description, operation) {
  const contents = Object.entries((operation.requestBody || {}).content || {});
  if (contents.length === 0) return null;
  const text = make("textarea", { spellcheck: false, ariaLabel: "body" });
  const type = make("select", { ariaLabel: "media type" }, ...contents.map(([name]) => make("option", { textContent: name })));
  const fill = () => {
    const [name, content] = contents.find(([candidate]) => candidate === type.value);
    text.value = sampleBody(description, name, content);
  };
  type.addEventListener("change", fill);
  fill();
  const table = propertyTable(description, contents[0][1].schema);
  return { text, type, element: make("div", {}, make("h4", { textContent: "Body" }), table, type, text) };
}

/** What an operation takes and answers, and the form to try it. */
function operationForm(description, path, method, operation) {
  const { inputs, table } = parameterForm(description, operation);
  const body = bodyForm(description, operation);
  const responses = Object.entries(operation.responses || {});
  const types = responses.flatMap(([status, response]) => (status.startsWith("2") ? Object.keys(response.content || {}) : []));
  const accept = make("select", { ariaLabel: "Accept" }, ...[...new Set(types)].map((name) => make("option", { textContent: name })));
  const output = make("pre", { hidden: true });
  const button = make("button", { textContent: "Send" });
  const cancel = make("button", { textContent: "Stop", disabled: true });
  button.addEventListener("click", async () => {
    const stop = new AbortController();
    cancel.onclick = () => stop.abort();
    [output.hidden, button.disabled, cancel.disabled] = [false, true, false];
    await send(buildRequest(path, method, inputs, accept, body), output, stop.signal);
    [button.disabled, cancel.disabled] = [false, true];
  });
  const row = ([status, response]) =>
    make("tr", {}, make("td", {}, make("code", { textContent: status })), make("td", { textContent: response.description || "" }));
  return make("div", {}, make("p", { textContent: operation.description || "" }), table, body ? body.element : "",
    make("p", {}, types.length ? "Accept " : "", types.length ? accept : "", " ", button, cancel), output,
    make("h4", { textContent: "Answers" }), make("table", {}, ...responses.map(row)));
}

/** One operation; its form is made when it is opened first. */
function operationElement(description, path, method, operation) {
  const summary = make("summary", {}, make("span", { className: "method", textContent: method.toUpperCase() }),
    make("span", { className: "path", textContent: path }), ` — ${operation.summary || ""}`);
  const details = make("details", {}, summary);
  details.addEventListener("toggle", () => details.append(operationForm(description, path, method, operation)), { once: true });
  return details;
}

async function main() {
  const operations = document.getElementById("operations");
  const response = await fetch("/v1/openapi.json");
  if (!response.ok) throw new Error(`GET /v1/openapi.json: ${response.status}`);
  const description = await response.json();
  document.getElementById("version").textContent = description.info.version;
  document.getElementById("about").textContent = description.info.description || "";
  const all = Object.entries(description.paths).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method]).map((method) => ({ path, method, operation: item[method] })));
  for (const tag of description.tags || []) {
    operations.append(make("h2", { textContent: tag.name }), make("p", { textContent: tag.description || "" }));
    const own = all.filter(({ operation }) => (operation.tags || []).includes(tag.name));
    operations.append(...own.map(({ path, method, operation }) => operationElement(description, path, method, operation)));
  }
}

main().catch((error) => document.getElementById("operations").append(make("pre", { textContent: String(error) })));
