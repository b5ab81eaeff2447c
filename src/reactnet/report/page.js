"use strict";
// The page is whole without this: it adds values beside the pointer, hides runs, and finds a layer's line from its row.
(() => {
  const charts = JSON.parse(document.getElementById("data").textContent);
  const tip = document.getElementById("tip");
  const SHOWN = 12; // lines of a tip: the nearest to the pointer would need heights, so the first that have a value

  const place = (event) => {
    const box = tip.getBoundingClientRect();
    const left = event.clientX + 16 + box.width > innerWidth ? event.clientX - 16 - box.width : event.clientX + 16;
    tip.style.left = Math.max(4, left) + "px";
    tip.style.top = Math.max(4, Math.min(event.clientY + 12, innerHeight - box.height - 4)) + "px";
  };
  const row = (left, right) => {
    const line = document.createElement("div");
    for (const text of [left, right]) {
      const part = document.createElement("span");
      part.textContent = text;
      line.append(part);
    }
    return line;
  };
  const hidden = new Set();

  for (const svg of document.querySelectorAll("svg[data-chart]")) {
    const chart = charts[svg.dataset.chart];
    const cursor = svg.querySelector(".cursor");
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const share = ((event.clientX - box.left) / box.width - chart.left) / (chart.right - chart.left);
      const epoch = Math.round(1 + Math.max(0, Math.min(1, share)) * (chart.epochs - 1));
      const known = chart.lines.filter((line) => epoch in line.shown && !hidden.has(line.name));
      const at = chart.width * (chart.left + (chart.right - chart.left) * (epoch - 1) / Math.max(1, chart.epochs - 1));
      cursor.setAttribute("x1", at);
      cursor.setAttribute("x2", at);
      cursor.removeAttribute("hidden");
      const rows = known.slice(0, SHOWN).map((line) => row(line.name, line.shown[epoch]));
      if (known.length > SHOWN) rows.push(row(`and ${known.length - SHOWN} more`, ""));
      tip.replaceChildren(row(`epoch ${epoch}`, known.length ? "" : "no value"), ...rows);
      tip.hidden = false;
      place(event);
    });
    svg.addEventListener("pointerleave", () => {
      cursor.setAttribute("hidden", "hidden");
      tip.hidden = true;
    });
  }

  for (const box of document.querySelectorAll("input[data-run]")) {
    box.addEventListener("change", () => {
      if (box.checked) hidden.delete(box.dataset.run);
      else hidden.add(box.dataset.run);
      for (const line of document.querySelectorAll("#curves .card .line"))
        line.classList.toggle("off", hidden.has(line.dataset.line));
    });
  }

  for (const card of document.querySelectorAll(".wide .card")) {
    const lines = [...card.querySelectorAll(".line")];
    const rows = [...card.querySelectorAll("tbody tr")];
    const tell = (name) => {
      for (const line of lines) {
        line.classList.toggle("told", line.dataset.line === name);
        line.classList.toggle("faded", name !== null && line.dataset.line !== name);
      }
      for (const one of rows) one.classList.toggle("told", one.dataset.line === name);
    };
    for (const one of [...rows, ...lines]) {
      one.addEventListener("pointerenter", () => tell(one.dataset.line));
      one.addEventListener("pointerleave", () => tell(null));
    }
  }
})();
