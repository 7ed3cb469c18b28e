"use strict";

const JSON_TYPE = "application/json";
const root = new URL(".", document.baseURI); // …/api/
const find = (id) => document.getElementById(id);

function element(name, text, ...children) {
  const made = document.createElement(name);
  if (text !== null) made.textContent = text;
  made.append(...children);
  return made;
}

function resolved(whole, schema) {
  let found = schema;
  while (found && found.$ref) found = whole.components.schemas[found.$ref.split("/").pop()];
  return found || {};
}

function sample(whole, schema, depth = 0) {
  const known = resolved(whole, schema);
  if ("default" in known) return known.default;
  if (known.enum) return known.enum[0];
  if (known.anyOf) return sample(whole, known.anyOf[0], depth);
  switch (known.type) {
    case "object": {
      const made = {};
      const needed = known.required || [];
      if (depth < 4) for (const name of needed) made[name] = sample(whole, known.properties[name], depth + 1);
      return made;
    }
    case "array": return [];
    case "integer":
    case "number": return 0;
    case "boolean": return false;
    default: return "";
  }
}

function kindOf(whole, schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map((each) => kindOf(whole, each)).join(" or ");
  if (schema.allOf) return schema.allOf.map((each) => kindOf(whole, each)).join(" and ");
  if (schema.type === "array") return `list of ${kindOf(whole, schema.items) || "anything"}`;
  if (schema.enum) return schema.enum.join(", ");
  return schema.format || schema.type || "anything";
}

function fieldsOf(whole, title, rows) {
  if (!rows.length) return [];
  const body = element("tbody", null, ...rows.map(([name, needed, schema]) => element("tr", null,
    element("td", null, element("code", name)), element("td", needed ? "required" : ""),
    element("td", kindOf(whole, schema)))));
  return [element("h3", title), element("table", null, body)];
}

function operationView(whole, path, method, operation) {
  const inside = element("div", null);
  const inputs = new Map();
  // A body is JSON, or bytes such as a part of a log.
  const [type, content] = Object.entries(operation.requestBody?.content ?? {})[0] ?? [];
  inside.append(element("p", operation.description || ""));
  for (const each of operation.parameters) {
    const input = element("input", null);
    input.name = each.name;
    inputs.set(each, input);
    inside.append(element("label", `${each.name}${each.required ? " *" : ""} `, input));
  }
  let text = null;
  if (type) {
    text = element("textarea", "");
    text.dataset.type = type;
    text.setAttribute("aria-label", "Body");
  }
  if (type === JSON_TYPE) {
    const known = resolved(whole, content.schema);
    const rows = Object.entries(known.properties || {})
      .map(([name, schema]) => [name, (known.required || []).includes(name), schema]);
    inside.append(...fieldsOf(whole, "Body", rows));
    text.value = JSON.stringify(sample(whole, content.schema), null, 2);
  } else if (type) {
    inside.append(element("h3", "Body"), element("p", type));
  }
  if (text) inside.append(text);
  const answers = Object.entries(operation.responses).map(([status, each]) => {
    const content = each.content ? Object.values(each.content)[0].schema : null;
    return [status, false, content];
  });
  inside.append(...fieldsOf(whole, "Answers", answers));
  const send = element("button", "Send");
  const shown = element("pre", "");
  shown.hidden = true;
  send.addEventListener("click", () => call(path, method, inputs, text, shown));
  inside.append(element("p", null, send), shown);
  const scope = element("span", operation["x-scope"] || "no token needed");
  scope.className = "scope";
  const made = element("details", null,
    element("summary", null, element("b", method.toUpperCase()), element("code", path),
      ` ${operation.summary}`, scope), inside);
  made.dataset.text = `${method} ${path} ${operation.summary}`.toLowerCase();
  return made;
}

async function call(path, method, inputs, text, shown) {
  const headers = {};
  const query = new URLSearchParams();
  let place = path;
  for (const [each, input] of inputs) {
    if (each.in === "path") place = place.replace(`{${each.name}}`, encodeURIComponent(input.value));
    else if (input.value === "") continue;
    else if (each.in === "header") headers[each.name] = input.value;
    else query.set(each.name, input.value);
  }
  if (find("token").value) headers.authorization = `Bearer ${find("token").value}`;
  if (text) headers["content-type"] = text.dataset.type;
  const url = new URL(`..${place}${query.size ? `?${query}` : ""}`, root);
  shown.hidden = false;
  shown.textContent = "…";
  const gone = new AbortController();
  setTimeout(() => gone.abort(), 30000);
  try {
    const answer = await fetch(url, {
      method: method.toUpperCase(), headers, body: text ? text.value : undefined, signal: gone.signal,
    });
    const said = await answer.text();
    let pretty = said;
    try { pretty = JSON.stringify(JSON.parse(said), null, 2); } catch { /* it is not JSON */ }
    shown.textContent = `${answer.status} ${answer.statusText}\n\n${pretty}`;
  } catch (failed) {
    shown.textContent = `There is no answer: ${failed.message}`;
  }
}

function filter() {
  const words = find("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const each of document.querySelectorAll("details")) {
    each.hidden = !words.every((word) => each.dataset.text.includes(word));
  }
}

async function load() {
  const whole = await (await fetch(new URL("openapi.json", root))).json();
  find("version").textContent = whole.info.version;
  const groups = new Map();
  for (const [path, methods] of Object.entries(whole.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const tag = operation.tags[0];
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push(operationView(whole, path, method, operation));
    }
  }
  find("routes").replaceChildren(...[...groups].flatMap(([tag, views]) => [element("h2", tag), ...views]));
}

find("filter").addEventListener("input", filter);
load().catch((failed) => { find("routes").textContent = `The description can't be read: ${failed.message}`; });
