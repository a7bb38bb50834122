// Sorts and filters the table of all cases. Texts from a result file only become text nodes.
"use strict";
(() => {
  const LIMIT = 500;
  const table = document.getElementById("table");
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const names = heads.map((head) => head.dataset.name);
  const isNumber = heads.map((head) => "number" in head.dataset);
  const isMinor = heads.map((head) => head.classList.contains("minor"));
  const filter = document.getElementById("filter");
  const shown = document.getElementById("shown");
  const showAll = document.getElementById("show-all");
  const everyColumn = document.getElementById("every-column");
  const searched = ["run", "problem", "backend", "status", "notes"].map((one) => names.indexOf(one)).filter((at) => at >= 0);
  const ratio = names.indexOf("vs_best");
  const repro = names.indexOf("repro");
  const state = { query: "", sort: -1, down: false, all: false };

  // A row has its texts, its values (numbers or texts) and its element, made when first shown.
  const rows = [...body.rows].map((tr) => {
    const texts = [...tr.cells].map((cell) => cell.textContent);
    const values = [...tr.cells].map((cell, at) => {
      if (!isNumber[at]) return texts[at];
      if (cell.dataset.v !== undefined) return Number(cell.dataset.v);
      return texts[at] === "" ? null : Number(texts[at]);
    });
    dress(tr, values);
    return { texts, values, tr };
  });
  const rest = document.getElementById("rest");
  if (rest) {
    const columns = JSON.parse(rest.textContent);
    for (let at = 0; at < columns[0].t.length; at++) {
      rows.push({
        texts: columns.map((column) => column.t[at]),
        values: columns.map((column) => (column.v ? column.v[at] : column.t[at])),
        tr: null,
      });
    }
  }

  function dress(tr, values) {
    [...tr.cells].forEach((cell, at) => {
      if (isNumber[at]) cell.classList.add("number");
      if (isMinor[at]) cell.classList.add("minor");
      if (!isNumber[at] && cell.textContent.length > 40) cell.title = cell.textContent;
      if (at === ratio && values[at] === 1) cell.classList.add("best");
      if (at === repro && cell.textContent) cell.replaceChildren(copyButton("copy", cell.textContent));
    });
  }

  // Make a button that copies a text to the clipboard.
  function copyButton(name, text) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = name;
    button.title = text.length > 400 ? "" : text;
    button.addEventListener("click", async (event) => {
      event.preventDefault(); // inside a summary it must not toggle the details
      let done = true;
      try {
        await navigator.clipboard.writeText(text);
      } catch {
        // Without permission for the clipboard, the old way may still work.
        const area = document.createElement("textarea");
        area.value = text;
        document.body.append(area);
        area.select();
        done = document.execCommand("copy");
        area.remove();
      }
      button.textContent = done ? "copied" : "not allowed";
      setTimeout(() => { button.textContent = name; }, 1500);
    });
    return button;
  }

  function element(row) {
    if (!row.tr) {
      row.tr = document.createElement("tr");
      for (const text of row.texts) row.tr.insertCell().textContent = text;
      dress(row.tr, row.values);
    }
    return row.tr;
  }

  // FILTER as on the command line: words, field=value, comparisons, a,b for either, or, not, ( ).
  function parse(text) {
    const tokens = text.match(/[()]|[^\s()]+/g) || [];
    let at = 0;
    const either = () => {
      const parts = [both()];
      while ((tokens[at] || "").toLowerCase() === "or") { at++; parts.push(both()); }
      return (row) => parts.some((part) => part(row));
    };
    const both = () => {
      const parts = [];
      while (at < tokens.length && tokens[at] !== ")" && tokens[at].toLowerCase() !== "or") parts.push(one());
      return (row) => parts.every((part) => part(row));
    };
    const one = () => {
      const token = tokens[at++];
      if (token === undefined) throw new Error("the filter is incomplete");
      if (token.toLowerCase() === "and") return () => true;
      if (token.toLowerCase() === "not") { const inner = one(); return (row) => !inner(row); }
      if (token !== "(") return condition(token);
      const inner = either();
      if (tokens[at++] !== ")") throw new Error("missing closing parenthesis");
      return inner;
    };
    const whole = either();
    if (at < tokens.length) throw new Error("unexpected closing parenthesis");
    return whole;
  }

  function condition(token) {
    const match = /^([A-Za-z_]\w*)(!=|<=|>=|=|<|>)(.*)$/.exec(token);
    if (!match) {
      const word = token.toLowerCase();
      return (row) => searched.some((at) => row.texts[at].toLowerCase().includes(word));
    }
    const [, name, sign, wanted] = match;
    const at = names.indexOf(name);
    if (at < 0) throw new Error(`unknown column ${name}; the columns are ${names.join(", ")}`);
    if (wanted === "") throw new Error(`${name}${sign} needs a value`);
    const choices = wanted.split(",").map((choice) => (isNumber[at] ? number(choice, name) : choice));
    const equal = (row) => choices.includes(row.values[at]);
    if (sign === "=") return equal;
    if (sign === "!=") return (row) => !equal(row);
    if (!isNumber[at]) throw new Error(`${name} is text; ${sign} needs a number`);
    const limit = choices[0];
    const holds = { "<": (v) => v < limit, "<=": (v) => v <= limit, ">": (v) => v > limit, ">=": (v) => v >= limit }[sign];
    return (row) => row.values[at] !== null && holds(row.values[at]);
  }

  function number(text, name) {
    const match = /^(\d+(?:\.\d+)?)([kmg]?)$/i.exec(text);
    if (!match) throw new Error(`${name} is a number; got ${text}`);
    return Number(match[1]) * 1024 ** ["", "k", "m", "g"].indexOf(match[2].toLowerCase());
  }

  function compare(left, right) {
    const [a, b] = [left.values[state.sort], right.values[state.sort]];
    // Missing values come last in either order.
    if (a === null || a === "") return b === null || b === "" ? 0 : 1;
    if (b === null || b === "") return -1;
    const order = isNumber[state.sort] ? a - b : a.localeCompare(b, "en", { numeric: true });
    return state.down ? -order : order;
  }

  let picked = rows;
  function render() {
    try {
      const matches = parse(state.query);
      picked = rows.filter(matches);
      shown.className = "";
      shown.textContent = `${picked.length} of ${rows.length} cases`;
    } catch (error) {
      shown.className = "wrong";
      shown.textContent = error.message;
      return;
    }
    if (state.sort >= 0) picked.sort(compare);
    const part = state.all ? picked : picked.slice(0, Math.max(LIMIT, rest ? 0 : rows.length));
    body.replaceChildren(...part.map(element));
    showAll.hidden = part.length === picked.length;
    if (part.length < picked.length) shown.textContent += `, ${part.length} shown`;
    heads.forEach((head, at) => {
      const turned = state.down ? "descending" : "ascending";
      head.setAttribute("aria-sort", at === state.sort ? turned : "none");
    });
  }

  function remember() {
    const words = new URLSearchParams();
    if (state.query) words.set("q", state.query);
    if (state.sort >= 0) words.set("s", (state.down ? "-" : "") + names[state.sort]);
    if (everyColumn.checked) words.set("c", "all");
    const text = words.toString();
    history.replaceState(null, "", text ? `#${text}` : "#cases");
  }

  function recall() {
    const text = location.hash.slice(1);
    if (!text.includes("=")) return;
    const words = new URLSearchParams(text);
    const sort = words.get("s") || "";
    state.query = words.get("q") || "";
    state.down = sort.startsWith("-");
    state.sort = names.indexOf(sort.replace(/^-/, ""));
    everyColumn.checked = words.get("c") === "all";
    table.classList.toggle("every", everyColumn.checked);
    filter.value = state.query;
    render();
    document.getElementById("cases").scrollIntoView();
  }

  heads.forEach((head, at) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    if (isNumber[at]) head.classList.add("number");
    button.addEventListener("click", () => {
      // A third click restores the order of the file.
      if (state.sort !== at) Object.assign(state, { sort: at, down: false });
      else if (!state.down) state.down = true;
      else Object.assign(state, { sort: -1, down: false });
      render();
      remember();
    });
  });
  filter.addEventListener("input", () => { state.query = filter.value.trim(); render(); remember(); });
  everyColumn.addEventListener("change", () => { table.classList.toggle("every", everyColumn.checked); remember(); });
  showAll.addEventListener("click", () => { state.all = true; render(); });
  document.getElementById("download").addEventListener("click", () => {
    // A spreadsheet would run a text that begins like a formula; a leading space prevents that.
    const cell = (value) => {
      let text = value === null ? "" : String(value);
      if (/^[=+\-@\t\r]/.test(text) && typeof value === "string") text = ` ${text}`;
      return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    const lines = [names, ...picked.map((row) => row.values)].map((line) => line.map(cell).join(","));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "text/csv" }));
    link.download = "cases.csv";
    link.click();
    URL.revokeObjectURL(link.href);
  });
  for (const place of document.querySelectorAll("[data-copies]")) {
    const source = document.getElementById(place.dataset.copies);
    place.append(copyButton(place.dataset.name, source.textContent));
  }
  // Mark what is wider than the screen, again whenever it or its content changes size.
  const sized = new ResizeObserver((entries) => requestAnimationFrame(() => {
    for (const { target } of entries) {
      const box = target.closest(".drawing, .scroll");
      box.classList.toggle("wide", box.scrollWidth > box.clientWidth + 1);
    }
  }));
  for (const box of document.querySelectorAll(".drawing, .scroll")) {
    sized.observe(box);
    sized.observe(box.firstElementChild);
  }
  document.querySelector(".tools").hidden = false;
  window.addEventListener("hashchange", recall);
  render();
  recall();
})();
