// Sorting and filtering of the report's tables, and the pages of its single-file form. Nothing is fetched: a report
// reads well without this, too, but for the single file's compressed pages.
"use strict";

const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

function bodyRows(table) {
  return [...table.tBodies].flatMap((part) => [...part.rows]);
}

// A long table's rows beyond the first are laid out once those are on the screen, or something needs them.
function showAllRows() {
  for (const part of document.querySelectorAll("tbody.later")) part.classList.remove("later");
}

// The column of a header cell, counted in body cells: headers of several rows span.
function columnOf(table, header) {
  const taken = [];
  for (const [r, row] of [...table.tHead.rows].entries()) {
    let at = 0;
    for (const cell of row.cells) {
      while (taken[r]?.[at]) at += 1;
      for (let down = 0; down < cell.rowSpan; down += 1) {
        taken[r + down] ??= [];
        for (let across = 0; across < cell.colSpan; across += 1) taken[r + down][at + across] = true;
      }
      if (cell === header) return at;
      at += cell.colSpan;
    }
  }
  return -1;
}

function sortKey(cell, numeric) {
  if (!numeric) return cell.textContent.trim();
  const given = cell.dataset.value ?? cell.textContent.replace("−", "-").match(/[-+]?\d[\d,]*(\.\d+)?(e[-+]?\d+)?/i)?.[0];
  return given === undefined ? NaN : Number(given.replaceAll(",", ""));
}

// What has no number stays at the end, in either direction.
function compare(a, b, numeric, sign) {
  if (!numeric) return sign * collator.compare(a, b);
  if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
  return sign * (a - b);
}

function sortBy(table, header) {
  const numeric = header.dataset.sort === "number";
  const now = header.getAttribute("aria-sort");
  const first = numeric ? "descending" : "ascending";
  const other = numeric ? "ascending" : "descending";
  const direction = now === first ? other : first;
  const sign = direction === "ascending" ? 1 : -1;
  const column = columnOf(table, header);
  const keyed = bodyRows(table).map((row, place) => ({ row, place, key: sortKey(row.cells[column], numeric) }));
  keyed.sort((a, b) => compare(a.key, b.key, numeric, sign) || a.place - b.place);
  for (const other of table.querySelectorAll("[aria-sort]")) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", direction);
  showAllRows();
  table.tBodies[0].append(...keyed.map((entry) => entry.row));
}

function makeSortable(table) {
  for (const header of table.querySelectorAll("th[data-sort]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => sortBy(table, header));
  }
}

// A row has a verdict, or each of its cells has one; then the cells with another one are dimmed.
function matches(row, text, verdict) {
  const cells = [...row.querySelectorAll("td[data-verdict]")];
  for (const cell of cells) cell.classList.toggle("faint", verdict !== "" && cell.dataset.verdict !== verdict);
  const found = cells.length ? cells.some((cell) => cell.dataset.verdict === verdict) : row.dataset.verdict === verdict;
  return (verdict === "" || found) && text.split(/\s+/).every((word) => row.textContent.toLowerCase().includes(word));
}

function applyFilters(form) {
  const table = document.getElementById(form.dataset.filters);
  const values = Object.fromEntries([...form.querySelectorAll("[data-key]")].map((field) => [field.dataset.key, field.value]));
  const text = (values.text ?? "").trim().toLowerCase();
  let shown = 0;
  const rows = bodyRows(table);
  if (text || values.verdict) showAllRows();
  for (const row of rows) {
    row.hidden = !matches(row, text, values.verdict ?? "");
    shown += row.hidden ? 0 : 1;
  }
  form.querySelector("output").textContent = `${shown} of ${rows.length} rows`;
}

function setFilters(form, state) {
  for (const field of form.querySelectorAll("[data-key]")) field.value = state.get(field.dataset.key) ?? "";
  applyFilters(form);
}

function makeFilters(form, state) {
  form.hidden = false;
  for (const field of form.querySelectorAll("[data-key]")) field.addEventListener("input", () => applyFilters(form));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => applyFilters(form)));
  setFilters(form, state);
}

function enliven(state) {
  for (const table of document.querySelectorAll("main table[data-sortable]")) makeSortable(table);
  for (const form of document.querySelectorAll("main form[data-filters]")) makeFilters(form, state);
  requestAnimationFrame(() => setTimeout(showAllRows));
}

// Printing shows what is folded away.
function unfoldForPrint() {
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")];
    for (const part of folded) part.open = true;
  });
  addEventListener("afterprint", () => {
    for (const part of folded) part.open = false;
  });
}

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

async function showStored(pages, first) {
  const [, name, query] = location.hash.match(/^#\/([^?]*)\??(.*)$/) ?? [null, "index", ""];
  const page = pages[decodeURIComponent(name)] ?? pages.index;
  const main = document.getElementById("main");
  // Our own pages, escaped when they were written.
  main.innerHTML = await unpack(page.body);
  document.title = document.title.replace(/^[^·]*·/, `${page.title} ·`);
  for (const link of document.querySelectorAll("nav a[data-section]")) {
    if (link.dataset.section === page.section) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const state = new URLSearchParams(query);
  enliven(state);
  if (!first) {
    scrollTo(0, 0);
    main.focus();
  }
  document.getElementById(state.get("part"))?.scrollIntoView();
  main.dataset.shown = page.section;
}

const stored = document.getElementById("stored-pages");
unfoldForPrint();
if (stored) {
  const pages = JSON.parse(stored.textContent);
  // The skip link's target is a place on the page, not a page.
  addEventListener("hashchange", () => location.hash !== "#main" && showStored(pages, false));
  showStored(pages, true);
} else {
  enliven(new URLSearchParams(location.hash.slice(1)));
  addEventListener("hashchange", () => {
    const state = new URLSearchParams(location.hash.slice(1));
    for (const form of document.querySelectorAll("main form[data-filters]")) setFilters(form, state);
  });
}
