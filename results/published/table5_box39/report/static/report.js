// Sorting and filtering of the report's tables. What is chosen stands in the address, so a view can be sent to
// somebody. Nothing is fetched, and every page reads well without this.
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

// -- the address ------------------------------------------------------------------------------------------------

// `#table=mmpareto.table3&verdict=deviates` is a state; `#main` and `#mmpareto-table3-...` are places.
function stateInAddress() {
  const hash = location.hash.slice(1);
  return new URLSearchParams(hash.includes("=") ? hash : "");
}

function putInAddress(key, value) {
  const state = stateInAddress();
  if (value) state.set(key, value);
  else state.delete(key);
  const text = state.toString();
  history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
}

// -- sorting ----------------------------------------------------------------------------------------------------

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

function sortBy(table, header, direction) {
  const numeric = header.dataset.sort === "number";
  const sign = direction === "ascending" ? 1 : -1;
  const column = columnOf(table, header);
  const keyed = bodyRows(table).map((row, place) => ({ row, place, key: sortKey(row.cells[column], numeric) }));
  keyed.sort((a, b) => compare(a.key, b.key, numeric, sign) || a.place - b.place);
  for (const other of table.querySelectorAll("[aria-sort]")) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", direction);
  showAllRows();
  table.tBodies[0].append(...keyed.map((entry) => entry.row));
}

// A page's first sortable table has its order in the address: `sort=3.descending`, columns from 0.
function makeSortable(table, inAddress) {
  const headers = [...table.querySelectorAll("th[data-sort]")];
  for (const header of headers) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => {
      const first = header.dataset.sort === "number" ? "descending" : "ascending";
      const other = first === "descending" ? "ascending" : "descending";
      const direction = header.getAttribute("aria-sort") === first ? other : first;
      sortBy(table, header, direction);
      if (inAddress) putInAddress("sort", `${columnOf(table, header)}.${direction}`);
    });
  }
}

function sortAsInAddress(table) {
  const [column, direction] = (stateInAddress().get("sort") ?? "").split(".");
  const header = [...table.querySelectorAll("th[data-sort]")].find((one) => String(columnOf(table, one)) === column);
  if (header && ["ascending", "descending"].includes(direction)) sortBy(table, header, direction);
}

// -- filters ----------------------------------------------------------------------------------------------------

// What a search looks at: a row's text without its table's name, which would match everything.
function searched(row) {
  const aside = [...row.querySelectorAll("[data-aside]")].map((part) => part.textContent);
  return aside.reduce((text, part) => text.replace(part, " "), row.textContent).toLowerCase();
}

// A row has a verdict, or each of its cells has one; then the cells with another one are dimmed. A row about two
// methods is found by either, in either place: `data-a-or` is the other one.
function matches(row, wanted) {
  const cells = [...row.querySelectorAll("td[data-verdict]")];
  const verdict = wanted.verdict ?? "";
  for (const cell of cells) cell.classList.toggle("faint", verdict !== "" && cell.dataset.verdict !== verdict);
  return Object.entries(wanted).every(([key, value]) => {
    if (value === "") return true;
    if (key === "text") return value.trim().toLowerCase().split(/\s+/).every((word) => searched(row).includes(word));
    if (key === "verdict" && cells.length) return cells.some((cell) => cell.dataset.verdict === value);
    return row.dataset[key] === value || row.dataset[`${key}Or`] === value;
  });
}

function applyFilters(form) {
  const table = document.getElementById(form.dataset.filters);
  const wanted = Object.fromEntries([...form.querySelectorAll("[data-key]")].map((field) => [field.dataset.key, field.value]));
  let shown = 0;
  const rows = bodyRows(table);
  if (Object.values(wanted).some((value) => value !== "")) showAllRows();
  for (const row of rows) {
    row.hidden = !matches(row, wanted);
    shown += row.hidden ? 0 : 1;
  }
  form.querySelector("output").textContent = `${shown} of ${rows.length} rows`;
}

function filterAsInAddress(form) {
  const state = stateInAddress();
  for (const field of form.querySelectorAll("[data-key]")) field.value = state.get(field.dataset.key) ?? "";
  applyFilters(form);
}

function makeFilters(form) {
  form.hidden = false;
  for (const field of form.querySelectorAll("[data-key]")) {
    field.addEventListener("input", () => {
      applyFilters(form);
      putInAddress(field.dataset.key, field.value);
    });
  }
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => {
    applyFilters(form);
    for (const field of form.querySelectorAll("[data-key]")) putInAddress(field.dataset.key, "");
  }));
}

// -- the page ---------------------------------------------------------------------------------------------------

// On a narrow screen a row becomes a card (see the style), whose cells say themselves what they are.
function labelCells() {
  for (const table of document.querySelectorAll("table.stack")) {
    const titles = [...table.tHead.rows[table.tHead.rows.length - 1].cells].map((cell) => cell.textContent.trim());
    for (const row of bodyRows(table)) {
      for (const [place, cell] of [...row.cells].entries()) {
        if (cell.tagName === "TD") cell.dataset.label ??= titles[place] ?? "";
      }
    }
  }
}

// A link to something that is folded away, or hidden by a filter, shows it.
function showPlaceInAddress() {
  const place = location.hash.includes("=") ? null : document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!place || place.id === "main") return;
  showAllRows();
  for (let part = place; part; part = part.parentElement) {
    if (part.tagName === "DETAILS") part.open = true;
    part.hidden = false;
  }
  place.scrollIntoView();
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

const sortable = [...document.querySelectorAll("main table[data-sortable]")];
const forms = [...document.querySelectorAll("main form[data-filters]")];
const narrow = matchMedia("(max-width: 40rem)");

function followAddress() {
  for (const form of forms) filterAsInAddress(form);
  showPlaceInAddress();
}

if (narrow.matches) labelCells();
narrow.addEventListener("change", () => narrow.matches && labelCells());
for (const [place, table] of sortable.entries()) makeSortable(table, place === 0);
for (const form of forms) makeFilters(form);
if (sortable.length) sortAsInAddress(sortable[0]);
followAddress();
addEventListener("hashchange", followAddress);
unfoldForPrint();
requestAnimationFrame(() => setTimeout(showAllRows));
