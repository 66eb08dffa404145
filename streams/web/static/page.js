// The live page: choose a user, watch interests move, ask why. No framework, no build.
import { TEXTS } from "./texts.js";

const EVERY_MS = 3000;
const $ = (id) => document.getElementById(id);
const state = {
  language: navigator.language.startsWith("zh") ? "zh" : "en",
  user: "", source: null, profile: null, status: "", why: "", opener: null, concepts: {}, users: [],
};
const rows = new Map(); // horizon, stance and interest -> the row's parts, kept from one event to the next
const say = (key) => TEXTS[state.language][key] ?? key;

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function named(interest) {
  const cut = interest.indexOf(":");
  const concept = cut < 0 ? interest : interest.slice(0, cut);
  const chinese = state.language === "zh" && state.concepts[concept];
  return { concept: chinese || concept.replaceAll("-", " "), entity: cut < 0 ? "" : interest.slice(cut + 1) };
}

const spoken = (interest) => Object.values(named(interest)).filter(Boolean).join(", ");

// of an item its title, without the digest that says which text of it was met
const shownSource = (source) => source.replace(/ #[0-9a-f]{16}$/, "");

function ago(milliseconds) {
  const seconds = Math.round((milliseconds - Date.now()) / 1000);
  const format = new Intl.RelativeTimeFormat(state.language, { numeric: "auto", style: "short" });
  for (const [unit, size] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (Math.abs(seconds) >= size) return format.format(Math.round(seconds / size), unit);
  }
  return format.format(seconds, "second");
}

async function ask(path, parameters = {}) {
  const response = await fetch(`${path}?${new URLSearchParams(parameters)}`);
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.json();
}

// ---- one row: a button with name, weight, trend, bar and the newest evidence

function makeRow(interest, stance) {
  const parts = {
    label: element("span", { class: "label" }), weight: element("span", { class: "weight" }),
    bar: element("div", { class: "bar" }),
    quoted: element("span", { class: "last" }), when: element("span", { class: "last when" }),
  };
  parts.button = element(
    "button", { type: "button", class: `row ${stance}` },
    parts.label, parts.weight, element("div", { class: "track" }, parts.bar), parts.quoted, parts.when,
  );
  parts.button.addEventListener("click", () => openWhy(interest, parts.button));
  parts.item = element("li", {}, parts.button);
  return parts;
}

function fillRow(parts, item, strongest) {
  const { concept, entity } = named(item.interest);
  const mark = item.stance === "dislike" ? "✕ " : item.pinned ? "★ " : "";
  const weight = item.weight < 0.005 ? "<0.01" : item.weight.toFixed(2);
  const arrow = { rising: "↗", fading: "↘" }[item.trend] ?? "";
  parts.label.replaceChildren(mark + concept);
  if (entity) parts.label.append(element("span", { class: "entity" }, entity));
  parts.weight.replaceChildren(element("span", { class: `trend ${item.trend}`, title: say(item.trend) }, arrow), weight);
  parts.bar.style.transform = `translateX(${100 * Math.max(0.012, Math.min(1, item.weight / strongest)) - 100}%)`;
  parts.quoted.textContent = item.last?.source ? `“${shownSource(item.last.source)}”` : "";
  parts.when.textContent = item.last ? ago(item.last.at) : "";
  const notes = [item.pinned && say("pinned"), arrow && say(item.trend), say(item.stance)];
  parts.button.setAttribute("aria-label", [concept, entity, weight, ...notes].filter(Boolean).join(", "));
  parts.button.setAttribute("aria-expanded", String(!$("why").hidden && state.why === item.interest));
}

// ---- the profile: rows stay the same nodes, so that bars and places can move

function makeColumn(horizon) {
  const list = element("ul", { id: `horizon-${horizon}` });
  element("div", {}, element("h3"), list);
  return list;
}

function drawProfile() {
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const first = rows.size === 0;
  const places = new Map([...rows].map(([key, parts]) => [key, parts.item.getBoundingClientRect().top]));
  const focused = document.activeElement;
  const seen = new Set();
  const news = [];
  const columns = Object.entries(state.profile.horizons).map(([horizon, items]) => {
    const strongest = Math.max(...items.map((i) => i.weight), 1e-9);
    const list = document.getElementById(`horizon-${horizon}`) ?? makeColumn(horizon);
    const nodes = items.map((item) => {
      const key = JSON.stringify([horizon, item.stance, item.interest]);
      const known = rows.get(key);
      const parts = known ?? makeRow(item.interest, item.stance);
      fillRow(parts, item, strongest);
      if (!first && !calm && item.weight > (parts.weighed ?? 0) + 0.005) {
        parts.button.classList.remove("fresh");
        requestAnimationFrame(() => parts.button.classList.add("fresh"));
        news.push(`${spoken(item.interest)} ${item.weight.toFixed(2)}`);
      }
      parts.weighed = item.weight;
      rows.set(key, parts);
      seen.add(key);
      return parts.item;
    });
    if (!nodes.length) nodes.push(element("li", { class: "nothing" }, say("nothing")));
    if (nodes.some((node, at) => list.children[at] !== node) || list.children.length !== nodes.length) {
      list.replaceChildren(...nodes);
    }
    list.previousSibling.textContent = say(horizon);
    return list.parentNode;
  });
  for (const key of rows.keys()) if (!seen.has(key)) rows.delete(key);
  if (columns.some((column) => !column.isConnected)) $("horizons").replaceChildren(...columns);
  if (focused !== document.activeElement && $("horizons").contains(focused)) focused.focus({ preventScroll: true });
  if (!calm) for (const [key, parts] of rows) slide(parts.item, places.get(key));
  if (news.length) announce(news);
}

function slide(node, before) {
  const moved = before === undefined ? 0 : before - node.getBoundingClientRect().top;
  if (moved) node.animate([{ transform: `translateY(${moved}px)` }, { transform: "none" }], { duration: 450, easing: "ease-out" });
}

let announced = 0;
function announce(news) {
  if (Date.now() - announced < EVERY_MS) return;
  announced = Date.now();
  $("news").textContent = [...new Set(news)].slice(0, 3).join("; ");
}

function draw() {
  document.documentElement.lang = state.language === "zh" ? "zh-CN" : "en";
  for (const node of document.querySelectorAll("[data-text]")) node.textContent = say(node.dataset.text);
  for (const node of document.querySelectorAll("[data-label]")) node.setAttribute("aria-label", say(node.dataset.label));
  for (const node of document.querySelectorAll("[data-hint]")) node.placeholder = say(node.dataset.hint);
  $("language").textContent = say("other");
  $("language").lang = state.language === "zh" ? "en" : "zh-CN";
  $("name").textContent = state.user;
  $("note").hidden = Boolean(state.user);
  $("legend").hidden = !state.profile;
  if (state.profile) drawProfile();
}

function setStatus(status) {
  if (state.status === status) return;
  state.status = status;
  $("status").className = status;
  $("status").textContent = status && say(status);
}

// ---- why: the evidence of one interest, renewed as it grows

async function openWhy(interest, opener) {
  Object.assign(state, { why: interest, opener });
  if (!(await drawWhy())) return;
  $("why-title").focus({ preventScroll: true });
  draw();
}

async function drawWhy() {
  const interest = state.why;
  const evidence = await ask("/api/why", { user: state.user, interest }).catch(() => null);
  if (!evidence || state.why !== interest) return false;
  const { concept, entity } = named(interest);
  $("why-title").replaceChildren(`${say("why")} `, element("em", {}, entity ? `${concept} · ${entity}` : concept));
  const pieces = evidence.map((piece) => element(
    "li", { class: piece.stance },
    element("q", {}, shownSource(piece.source) || piece.event),
    element("p", {}, `${say(piece.stance)} · ${piece.weight.toFixed(2)} · `,
      element("time", { datetime: new Date(piece.at).toISOString(), title: new Date(piece.at).toLocaleString(state.language) }, ago(piece.at))),
    element("p", { class: "reader" }, [piece.reader, piece.source && piece.event].filter(Boolean).join(" · ")),
  ));
  $("evidence").replaceChildren(...(pieces.length ? pieces : [element("li", {}, say("none"))]));
  $("why").hidden = false;
  return true;
}

function closeWhy() {
  if ($("why").hidden) return;
  $("why").hidden = true;
  for (const { button } of rows.values()) button.setAttribute("aria-expanded", "false");
  state.opener?.focus({ preventScroll: true });
  Object.assign(state, { why: "", opener: null });
}

// ---- users: who was seen lately, and any other by name

function watch(user) {
  if (!user || user === state.user) return;
  state.source?.close();
  closeWhy();
  rows.clear();
  $("horizons").replaceChildren();
  Object.assign(state, { user, profile: null });
  setStatus("connecting");
  location.hash = encodeURIComponent(user);
  document.title = `${user} · Penchant`;
  state.source = new EventSource(`/api/events?${new URLSearchParams({ user })}`);
  state.source.addEventListener("message", (message) => {
    state.profile = JSON.parse(message.data);
    setStatus("live");
    draw();
    if (!$("why").hidden) drawWhy();
  });
  state.source.addEventListener("unavailable", () => setStatus("unavailable"));
  state.source.addEventListener("error", () => setStatus("lost"));
  draw();
  drawUsers();
}

function drawUsers() {
  const wanted = $("user").value.trim().toLowerCase();
  const focused = document.activeElement?.dataset?.user;
  const shown = state.users.filter(({ user }) => user.toLowerCase().includes(wanted));
  $("users").replaceChildren(...shown.map(({ user, seen }) => {
    const button = element("button", { type: "button", "data-user": user, "aria-current": String(user === state.user) },
      element("span", { class: "label" }, user), element("span", { class: "last" }, ago(seen * 1000)));
    button.addEventListener("click", () => watch(user));
    return element("li", {}, button);
  }));
  if (focused !== undefined) [...document.querySelectorAll("[data-user]")].find((b) => b.dataset.user === focused)?.focus({ preventScroll: true });
}

async function listUsers() {
  state.users = await ask("/api/users").catch(() => state.users);
  drawUsers();
  if (!state.user && state.users.length) watch(state.users[0].user);
}

function fromAddress() {
  try { watch(decodeURIComponent(location.hash.slice(1))); } catch { /* not one of our addresses */ }
}

$("language").addEventListener("click", () => {
  state.language = state.language === "zh" ? "en" : "zh";
  draw();
  drawUsers();
  $("status").textContent = state.status && say(state.status);
  if (!$("why").hidden) drawWhy();
});
$("find").addEventListener("submit", (event) => { event.preventDefault(); watch($("user").value.trim()); });
$("user").addEventListener("input", drawUsers);
$("close").addEventListener("click", closeWhy);
document.addEventListener("keydown", (event) => { if (event.key === "Escape") closeWhy(); });
addEventListener("hashchange", fromAddress);

state.concepts = await ask("/api/concepts").catch(() => ({}));
draw();
fromAddress();
await listUsers();
setInterval(() => {
  if (document.hidden) return;
  listUsers();
  if (state.profile) drawProfile(); // how long ago things were
}, EVERY_MS);
